/**
 * What is known of the log and not yet applied: entries in order, read ahead up to a bound. A gap in the single
 * transactions is bridged with files of higher levels; only where none reaches over it does reading end with the gap.
 */
import { abortable, type DatabaseLag, type Env, hasCode, messageOf, type Position } from '@canopy/core';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { planBridge } from './bridge.ts';
import { SIGHT_MS } from './log-sight.ts';

/** Entries known but not yet applied; past it the log is not read on. */
const QUEUE_MAX = 8192;
/** Bridges in a row whose files were gone when they were fetched. */
const BRIDGES_MAX = 5;
const RETRY_MS = 1000;
/** Before the second bridge in a row; twice as long before each one after it. */
const RESTART_MS = 250;

export interface EntryFeedDeps {
  readonly log: SegmentLog;
  readonly env: Env;
  /** What the file contains. */
  applied(): Position;
  /** Something was queued. */
  onArrival(): void;
  /** Reading failed and is tried again. */
  onProblem(error: unknown): void;
}

interface Known {
  readonly entry: LogEntry;
  readonly seenAt: number;
}

export interface TakeLimits {
  readonly entries: number;
  /** Compressed bytes; one larger entry is taken alone. */
  readonly bytes: number;
  /** An entry that begins a batch of its own. */
  readonly apart: number;
}

export class EntryFeed {
  readonly #deps: EntryFeedDeps;
  readonly #queue: Known[] = [];
  #logEnd: Position | undefined;
  #seenAt: number;
  #round = new AbortController();
  #bridges = 0;
  #arrived: () => void = () => {};
  #drained: () => void = () => {};

  constructor(deps: EntryFeedDeps, logEnd: Position | undefined) {
    this.#deps = deps;
    this.#logEnd = logEnd;
    this.#seenAt = deps.env.clock.monotonic();
  }

  /** The highest position seen. */
  get logEnd(): Position | undefined {
    return this.#logEnd;
  }

  /** When something was heard of the log last, which is asked every two seconds. Monotonic ms. */
  get seenAt(): number {
    return this.#seenAt;
  }

  get length(): number {
    return this.#queue.length;
  }

  /** What is unknown is undefined, never 0. */
  lag(): DatabaseLag {
    const end = this.#logEnd;
    if (end === undefined || this.#deps.env.clock.monotonic() - this.#seenAt > SIGHT_MS)
      return { tx: undefined, ms: undefined, bytes: undefined };
    const tx = Math.max(0, end.txid - this.#deps.applied().txid);
    if (tx === 0) return { tx, ms: 0, bytes: 0 };
    const oldest = this.#queue[0];
    const reaches = this.#queue.at(-1)?.entry.maxTxid === end.txid;
    return {
      tx,
      ms: oldest === undefined ? undefined : this.#deps.env.clock.monotonic() - oldest.seenAt,
      bytes: reaches ? this.#queue.reduce((sum, known) => sum + known.entry.size, 0) : undefined,
    };
  }

  /** The entries to apply next; they stay until `drop`. */
  take(limits: TakeLimits): LogEntry[] {
    const taken: LogEntry[] = [];
    let bytes = 0;
    for (const { entry } of this.#queue) {
      bytes += entry.size;
      const full = bytes > limits.bytes || taken.length >= limits.entries || entry.maxTxid === limits.apart;
      if (taken.length > 0 && full) break;
      taken.push(entry);
    }
    return taken;
  }

  /** Everything up to and including `txid` is applied. */
  drop(txid: number): void {
    const left = this.#queue.findIndex((known) => known.entry.maxTxid > txid);
    this.#queue.splice(0, left < 0 ? this.#queue.length : left);
    this.#bridges = 0;
    this.#drained();
  }

  /**
   * What is queued can't be fetched any more: reading begins again behind the file, which must not change meanwhile. At once
   * the first time; then with pauses, because what is told of the log may be older than the log, for as long as a connection
   * takes to deliver what has happened. False: that was tried often enough.
   */
  async restart(signal: AbortSignal): Promise<boolean> {
    const before = this.#bridges++;
    if (before >= BRIDGES_MAX) return false;
    if (before > 0) await this.#deps.env.clock.sleep(RESTART_MS * 2 ** (before - 1), { signal });
    this.#queue.length = 0;
    this.#drained();
    this.#round.abort(new DOMException('begun again', 'AbortError'));
    return true;
  }

  /** Resolves when there is something to take. */
  async arrival(signal: AbortSignal): Promise<void> {
    if (this.#queue.length > 0) return;
    await abortable(
      new Promise<void>((resolve) => {
        this.#arrived = resolve;
      }),
      signal,
    );
  }

  /** Reads for ever. Throws what `follow` throws, SQLITE_LOG_GAP only where there is no bridge, and the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#round = new AbortController();
      try {
        await this.#read(AbortSignal.any([signal, this.#round.signal]));
      } catch (error) {
        if (signal.aborted) throw error;
        if (this.#round.signal.aborted) continue;
        if (!hasCode(error, 'SQLITE_LOG_GAP')) throw error;
        await this.#bridge(error, signal);
      }
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { log, env } = this.#deps;
    const onSeen = (): void => {
      this.#seenAt = env.clock.monotonic();
    };
    for await (const entry of log.follow(this.#tail().txid, { signal, onSeen })) {
      // Begun again: what this round still has does not carry on from the file.
      if (signal.aborted) return;
      await this.#push(entry, signal);
    }
  }

  /** Where reading goes on. */
  #tail(): Position {
    const last = this.#queue.at(-1)?.entry;
    return last === undefined ? this.#deps.applied() : { epoch: last.epoch, txid: last.maxTxid };
  }

  async #bridge(gap: Error, signal: AbortSignal): Promise<void> {
    const { log, env } = this.#deps;
    let plan: LogEntry[] | undefined;
    try {
      plan = planBridge(await log.all({ signal }), this.#tail());
    } catch (error) {
      signal.throwIfAborted();
      if (hasCode(error, 'BLOB_BUCKET_MISSING', 'NATS_CLOSED')) throw error;
      this.#deps.onProblem(error);
      await env.clock.sleep(RETRY_MS, { signal });
      return;
    }
    if (plan === undefined) throw gap;
    // The next one is there after all.
    if (plan.length === 0) return env.clock.sleep(RETRY_MS, { signal });
    env.log.info('log_gap_bridged', { reason: messageOf(gap), files: plan.map((entry) => entry.name) });
    for (const entry of plan) await this.#push(entry, signal);
  }

  async #push(entry: LogEntry, signal: AbortSignal): Promise<void> {
    const { env, log } = this.#deps;
    log.meet(entry, this.#tail().txid);
    const last = this.#tail().epoch;
    if (entry.epoch < last && entry.epoch !== 0)
      env.log.warn('log_epoch_fell', { txid: entry.maxTxid, from: last, to: entry.epoch });
    this.#queue.push({ entry, seenAt: env.clock.monotonic() });
    this.#seenAt = env.clock.monotonic();
    if (this.#logEnd === undefined || entry.maxTxid > this.#logEnd.txid)
      this.#logEnd = { epoch: entry.epoch, txid: entry.maxTxid };
    this.#deps.onArrival();
    this.#arrived();
    while (this.#queue.length >= QUEUE_MAX && !signal.aborted)
      await abortable(
        new Promise<void>((resolve) => {
          this.#drained = resolve;
        }),
        signal,
      );
  }
}
