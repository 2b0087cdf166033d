/**
 * A leader's term on the log: its writes go out one behind the other, and count when the log shows them inside the term. See DESIGN.md
 * (Appending) for why an acknowledgement alone is not enough.
 */
import { type CanopyError, type Clock, hasCode, messageOf } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import type { EventLog, Json, LogEvent } from '../../ports/event-log.ts';
import type { ResolvedConfig } from '../config.ts';
import type { HandedWrite, ReplicaHost } from '../replica.ts';
import type { WriteRequest } from '../write-request.ts';
import { AppendWindow, type WindowEntry } from './append-window.ts';
import { messageIdOf, WRITE_TOPIC, type WriteRecord, writeRecord } from './log-records.ts';
import type { LogState, Reading } from './log-state.ts';

/** Of a write's time, for the append; the rest is for reading the log when its answer was lost. */
const APPEND_PART = 0.7;

interface Pending {
  readonly request: WriteRequest;
  readonly record: WriteRecord;
  readonly done: PromiseWithResolvers<number>;
}

type Entry = WindowEntry<Pending>;

export interface TermContext {
  readonly config: ResolvedConfig;
  readonly log: EventLog;
  readonly state: LogState;
  readonly host: ReplicaHost;
  readonly clock: Clock;
}

export class LogTerm {
  readonly epoch: number;
  readonly #context: TermContext;
  readonly #window: AppendWindow<Pending>;
  readonly #mayLead: () => boolean;
  readonly #closing = new AbortController();
  #confirmed: Entry[] = [];
  #flushing = false;
  #resolving: Promise<void> | undefined;
  /** What the log holds could not be learned: it is asked again before anything is appended. */
  #uncertain = false;
  #ended = false;
  #idle: PromiseWithResolvers<void> | undefined;

  /** `end`: the sequence of the term's epoch record, which is applied. */
  constructor(context: TermContext, epoch: number, end: number, mayLead: () => boolean) {
    this.#context = context;
    this.epoch = epoch;
    this.#window = new AppendWindow(end);
    this.#mayLead = mayLead;
  }

  /** Throws STALE_LEADER, REPLICA_BUSY, and REPLICATION_FAILED when the log can't be asked where it ends. */
  async write(request: WriteRequest, timeoutMs: number): Promise<HandedWrite> {
    const { config, clock } = this.#context;
    while (!this.#ended && (this.#resolving !== undefined || this.#uncertain || this.#window.broken)) {
      if (this.#resolving === undefined && !this.#window.settled) await this.#whenSettled();
      else await this.#resolve();
      if (this.#uncertain) throw failed(request, 'the end of the log is not known', false);
    }
    if (this.#ended || !this.#mayLead()) throw this.#stale('its term has ended');
    if (this.#window.size >= config.maxPendingWrites)
      throw replicationErrors.create('REPLICA_BUSY', { what: 'writes', limit: config.maxPendingWrites });
    const { nodeId: node, namespace } = config;
    const term = { namespace, epoch: this.epoch, number: this.#window.nextNumber, node, timestamp: clock.wall() };
    const record = writeRecord(request, term);
    const done = Promise.withResolvers<number>();
    // Its caller may have stopped waiting.
    done.promise.catch(() => {});
    const entry = this.#window.enter({ request, record, done });
    void this.#append(entry, timeoutMs * APPEND_PART);
    return { sequence: entry.predicted, done: done.promise };
  }

  /** No more writes; resolves when those under way are answered. */
  async resign(): Promise<void> {
    this.#ended = true;
    if (!this.#window.settled) await this.#whenSettled();
    await this.#resolving;
    this.#flush();
    if (this.#window.size > 0) await this.#resolve();
  }

  /** Another leads: nothing more is taken. */
  end(): void {
    this.#ended = true;
  }

  /** At once: what is under way is answered as unknown. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#closing.abort(new DOMException('closed', 'AbortError'));
    await this.resign();
  }

  async #append(entry: Entry, timeoutMs: number): Promise<void> {
    const { log } = this.#context;
    const { record } = entry.item;
    try {
      const { sequence } = await log.append(record as unknown as Json, {
        topic: WRITE_TOPIC,
        messageId: messageIdOf(record),
        expectedLastSequence: entry.predicted - 1,
        timeoutMs,
        signal: this.#closing.signal,
      });
      this.#window.acknowledge(entry, sequence);
    } catch (error) {
      this.#window.fail(entry, error);
    }
    this.#confirmed.push(...this.#window.confirmed());
    // Answers come in bunches: what this turn of the loop brings is one commit.
    if (!this.#flushing) {
      this.#flushing = true;
      await Promise.resolve();
      await Promise.resolve();
      this.#flush();
    }
    if (!this.#window.settled) return;
    if (this.#window.broken) await this.#resolve();
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  #whenSettled(): Promise<void> {
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }

  #flush(): void {
    this.#flushing = false;
    const entries = this.#confirmed.splice(0);
    if (entries.length === 0) return;
    const { state } = this.#context;
    const events = entries.map((entry): LogEvent => {
      const event = entry.item.record as unknown as Json;
      return { sequence: entry.predicted, storedAt: 0, topic: WRITE_TOPIC, event };
    });
    try {
      state.apply(events);
    } catch (error) {
      this.#cannotApply(entries, error as Error);
      return;
    }
    for (const entry of entries) this.#succeed(entry, entry.predicted);
  }

  /** The log has them, the store does not: this node can't lead. As a follower it applies them as soon as it can. */
  #cannotApply(entries: readonly Entry[], error: Error): void {
    const { host } = this.#context;
    this.#ended = true;
    for (const { item, predicted } of entries) {
      const problem = `the log has it, the store of the leader does not: ${messageOf(error)}`;
      item.done.reject(failed(item.request, problem, true, predicted));
    }
    host.failed(error, 'apply');
    host.deposed(undefined, this.epoch);
  }

  #succeed(entry: Entry, sequence: number): void {
    const { key, operation } = entry.item.request;
    this.#context.host.written({ key, operation, sequence });
    entry.item.done.resolve(sequence);
  }

  #resolve(): Promise<void> {
    this.#resolving ??= this.#resolveByReading().finally(() => {
      this.#resolving = undefined;
    });
    return this.#resolving;
  }

  async #resolveByReading(): Promise<void> {
    const { state, log, clock, config, host } = this.#context;
    this.#flush();
    let reading: Reading;
    try {
      reading = await state.readToEnd(log, clock, config.writeTimeoutMs, this.#closing.signal);
    } catch (error) {
      this.#uncertain = true;
      // The predicted end stays what it was: nothing enters before the log was read.
      for (const { item } of this.#window.reopen(this.#window.end))
        item.done.reject(failed(item.request, messageOf(error), true));
      // What this leader has not seen was trimmed away behind another's snapshot: only a follower gets over that.
      if (!hasCode(error, 'SNAPSHOT_MISSING', 'REPLICA_BEYOND_LOG')) return;
      this.#ended = true;
      host.failed(error, 'lead');
      host.deposed(undefined, this.epoch);
      return;
    }
    this.#uncertain = false;
    const found = new Map(
      reading.writes.filter(({ epoch }) => epoch === this.epoch).map(({ number, sequence }) => [number, sequence]),
    );
    const deposed = state.fence.epoch !== this.epoch;
    if (deposed) this.#ended = true;
    for (const entry of this.#window.reopen(reading.end)) {
      const sequence = found.get(entry.number);
      if (sequence !== undefined) this.#succeed(entry, sequence);
      else entry.item.done.reject(deposed ? this.#stale('another leads') : this.#missed(entry, reading.end));
    }
    if (deposed) host.deposed(state.fence.leaderId, state.fence.epoch);
  }

  /** Not in the log. It can still arrive there if the end that it expects can still come. */
  #missed(entry: Entry, end: number): CanopyError {
    const { error, item } = entry;
    if (hasCode(error, 'EVENT_INVALID', 'EVENT_LOG_FULL', 'EVENT_LOG_MISSING')) return error;
    const refused = hasCode(error, 'EVENT_LOG_CONFLICT', 'EVENT_LOG_UNAVAILABLE');
    return failed(item.request, messageOf(error), !refused && entry.predicted > end);
  }

  #stale(problem: string): CanopyError {
    const { config, state } = this.#context;
    const leaderId = state.fence.epoch === this.epoch ? undefined : state.fence.leaderId;
    return replicationErrors.create('STALE_LEADER', { node: config.nodeId, problem, leaderId });
  }
}

function failed({ key }: WriteRequest, problem: string, unknown: boolean, sequence?: number): CanopyError {
  return replicationErrors.create('REPLICATION_FAILED', { key, problem, unknown, sequence });
}
