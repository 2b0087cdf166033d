/**
 * Snapshots of a replica's state: taken when the log has grown enough behind the last one, loaded in one commit. A snapshot holds what the log
 * says up to its position, so any replica's is as good as the leader's; the log is trimmed only behind one that is stored.
 */
import type { Clock } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import type { EventLog, EventLogInfo, LogEvent } from '../../ports/event-log.ts';
import type { SnapshotInfo } from '../../ports/snapshot-store.ts';
import type { StateChange } from '../../ports/state-store.ts';
import type { ResolvedConfig, SnapshotSettings } from '../config.ts';
import type { LogState } from './log-state.ts';

/** After a failure the next attempt waits for as many more events as this part of `everyEvents`. */
const RETRY_PART = 0.1;

export class Snapshots {
  readonly #settings: Required<SnapshotSettings>;
  readonly #namespace: string;
  readonly #log: EventLog;
  readonly #state: LogState;
  readonly #clock: Clock;
  readonly #onFailure: (error: Error) => void;
  readonly #closing = new AbortController();
  #events = 0;
  #bytes = 0;
  #taking: Promise<SnapshotInfo | undefined> | undefined;

  constructor(
    settings: Required<SnapshotSettings>,
    config: ResolvedConfig,
    log: EventLog,
    state: LogState,
    clock: Clock,
    onFailure: (error: Error) => void,
  ) {
    this.#settings = settings;
    this.#namespace = config.namespace;
    this.#log = log;
    this.#state = state;
    this.#clock = clock;
    this.#onFailure = onFailure;
    if (settings.take) state.onApplied = (events) => this.#count(events);
  }

  /** Reading a snapshot is shorter than reading so many events. */
  isFarBehind(end: number): boolean {
    return end - this.#state.sequence >= this.#settings.everyEvents;
  }

  /** Of the state as it is. Undefined: a newer one is there already. Throws what the store, the log and the snapshot store throw. */
  take(): Promise<SnapshotInfo | undefined> {
    this.#taking ??= this.#take(true).finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  /** True when the state is that of a newer snapshot now. `onProgress` gets entries. */
  async load(
    log: EventLogInfo,
    signal: AbortSignal,
    onProgress: (done: number, total: number) => void,
  ): Promise<boolean> {
    const info = await this.usable(log);
    if (info === undefined || info.sequence <= this.#state.sequence) return false;
    const { sequence, epoch, logCreatedAt } = info;
    await this.#state.replace(this.entries(info, signal, onProgress), { sequence, epoch, logCreatedAt });
    return true;
  }

  /** The newest, when the log goes on from there; undefined when there is none, or it is of another log. */
  async usable(log: EventLogInfo): Promise<SnapshotInfo | undefined> {
    const info = await this.#settings.store.latest(this.#namespace);
    if (info === undefined || info.logCreatedAt !== log.createdAt || info.sequence > log.lastSequence) return undefined;
    return info.sequence + 1 < log.firstSequence ? undefined : info;
  }

  /** Throws SNAPSHOT_DAMAGED, before the end of what is damaged. */
  async *entries(
    info: SnapshotInfo,
    signal: AbortSignal,
    onProgress: (done: number, total: number) => void,
  ): AsyncGenerator<readonly StateChange[]> {
    onProgress(0, info.entries);
    let done = 0;
    for await (const lines of this.#settings.store.read(info, { signal })) {
      yield lines.map((line) => parseLine(line, info));
      done += lines.length;
      onProgress(done, info.entries);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new DOMException('closed', 'AbortError'));
    await this.#taking?.catch(() => {});
  }

  #count(events: readonly LogEvent[]): void {
    const { everyEvents, everyBytes } = this.#settings;
    this.#events += events.length;
    for (const { event } of events) this.#bytes += JSON.stringify(event).length;
    const due = this.#events >= everyEvents || this.#bytes >= everyBytes;
    if (!due || this.#taking !== undefined || this.#closing.signal.aborted) return;
    this.#taking = this.#take(false)
      .catch((error: Error) => {
        this.#events = Math.floor(everyEvents * (1 - RETRY_PART));
        if (!this.#closing.signal.aborted) this.#onFailure(error);
        return undefined;
      })
      .finally(() => {
        this.#taking = undefined;
      });
  }

  async #take(always: boolean): Promise<SnapshotInfo | undefined> {
    const { store, everyEvents, keep, keepEvents } = this.#settings;
    [this.#events, this.#bytes] = [0, 0];
    // The commit that made it due is not to wait for this.
    await this.#clock.sleep(0, { signal: this.#closing.signal });
    const signal = this.#closing.signal;
    const log = await this.#log.info({ signal });
    this.#state.identify(log, this.#log);
    const latest = await store.latest(this.#namespace);
    const isRecent = latest?.logCreatedAt === log.createdAt && latest.sequence > this.#state.sequence - everyEvents;
    if (isRecent && (!always || latest.sequence >= this.#state.sequence)) {
      this.#events = Math.max(0, this.#state.sequence - latest.sequence);
      return undefined;
    }
    const { position, entries } = this.#state.snapshot();
    const info = await store.put(
      { namespace: this.#namespace, ...position, logCreatedAt: log.createdAt },
      linesOf(entries),
      { signal },
    );
    await store.prune(this.#namespace, keep);
    if (keepEvents !== false && position.sequence > keepEvents)
      await this.#log.trim(position.sequence - keepEvents, { signal });
    return info;
  }
}

function* linesOf(entries: Iterable<readonly StateChange[]>): Generator<string> {
  for (const batch of entries) for (const { key, value } of batch) yield JSON.stringify([key, value]);
}

function parseLine(line: string, { namespace, sequence }: SnapshotInfo): StateChange {
  try {
    const [key, value] = JSON.parse(line) as [unknown, unknown];
    if (typeof key === 'string' && value !== undefined) return { key, value };
  } catch {
    // As below: what can't be read is damaged.
  }
  throw replicationErrors.create('SNAPSHOT_DAMAGED', { namespace, sequence, problem: 'a line is no entry' });
}
