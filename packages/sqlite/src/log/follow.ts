/**
 * Follows the log in strict order. The watch says early that something was stored, names say what comes next: an entry
 * is yielded only when it carries the next transaction, so neither order nor repetition nor loss in the watch matters.
 * A probe for the next name, now and then, covers a watch that has gone silent.
 */
import { type Clock, hasCode, type Logger, messageOf } from '@canopy/core';
import type { Blobs, BlobWatchEvent } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { isOtherLog } from './identity.ts';
import { entryOf, type LogEntry, SEGMENTS } from './names.ts';
import type { CallOptions, LogView } from './view.ts';

/** Entries kept ahead of the one that is due; those beyond it are found again by their names. */
const AHEAD_MAX = 4096;
const PROBE_MS = 2000;
const RETRY_MS = 500;

interface Sources {
  readonly log: LogView;
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface FollowOptions extends CallOptions {
  /** How soon the next name is asked for while there is no news. Default 2 s. */
  readonly probeMs?: number;
  /** While there is none, each pause is twice as long as the one before, up to this. Default: as `probeMs`. */
  readonly probeMaxMs?: number;
  /** Called whenever the bucket has answered or the watch has told something, also when there is nothing new. */
  readonly onSeen?: () => void;
}

export async function* followLog(sources: Sources, after: number, options: FollowOptions): AsyncGenerator<LogEntry> {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new DOMException('stopped', 'AbortError'));
  options.signal?.addEventListener('abort', stop, { once: true });
  if (options.signal?.aborted) stop();
  const follower = new Follower(sources, after, controller.signal, options);
  try {
    while (!controller.signal.aborted) {
      for (let entry = follower.take(); entry !== undefined; entry = follower.take()) yield entry;
      await follower.advance();
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  } finally {
    options.signal?.removeEventListener('abort', stop);
    stop();
    await follower.close();
  }
}

interface Arrived {
  readonly result?: IteratorResult<BlobWatchEvent>;
  readonly error?: unknown;
}

class Follower {
  readonly #sources: Sources;
  readonly #signal: AbortSignal;
  readonly #probeMs: number;
  readonly #probeMaxMs: number;
  readonly #onSeen: () => void;
  readonly #ahead = new Map<number, LogEntry>();
  #next: number;
  /** Until the next probe, if nothing comes. */
  #pauseMs: number;
  /** The highest transaction seen anywhere: while it is not reached, the next name must exist. */
  #seen = 0;
  #synced = false;
  /** An entry of another log was seen. */
  #strange = false;
  #watch: AsyncIterator<BlobWatchEvent> | undefined;
  #asked = false;
  #arrived: Arrived | undefined;
  #wake: () => void = () => {};

  constructor(sources: Sources, after: number, signal: AbortSignal, options: FollowOptions) {
    this.#sources = sources;
    this.#signal = signal;
    this.#probeMs = options.probeMs ?? PROBE_MS;
    this.#probeMaxMs = options.probeMaxMs ?? this.#probeMs;
    this.#pauseMs = this.#probeMs;
    this.#onSeen = options.onSeen ?? (() => {});
    this.#next = after + 1;
  }

  /** The entry that is due, if it is known. */
  take(): LogEntry | undefined {
    const entry = this.#ahead.get(this.#next);
    if (entry === undefined) return undefined;
    this.#ahead.delete(this.#next);
    this.#next++;
    return entry;
  }

  /** Waits for one piece of news: a watch event, or the time to ask. */
  async advance(): Promise<void> {
    if (this.#synced && this.#seen >= this.#next) {
      await this.#attempt(() => this.#probe());
      if (this.#ahead.has(this.#next)) return;
    }
    const event = await this.#event();
    if (event === 'silent') await this.#attempt(() => this.#probe());
    else if (event === 'ended') await this.#sources.clock.sleep(RETRY_MS, { signal: this.#signal });
    else if (event.type === 'synced') {
      this.#synced = true;
      this.#onSeen();
    } else if (event.type === 'interrupted') this.#synced = false;
    else {
      this.#onSeen();
      if (event.type === 'put') this.#note(entryOf(event.blob));
    }
    if (this.#strange) await this.#attempt(() => this.#requireOurs());
  }

  async close(): Promise<void> {
    // Not awaited: an iterator that waits in next() would only answer after it, and the signal has ended it already.
    this.#watch?.return?.().catch(() => {});
  }

  #note(entry: LogEntry | undefined): void {
    if (entry === undefined || entry.level !== 0 || entry.minTxid !== entry.maxTxid) return;
    if (!this.#isOurs(entry)) return;
    this.#seen = Math.max(this.#seen, entry.maxTxid);
    if (entry.maxTxid >= this.#next && entry.maxTxid < this.#next + AHEAD_MAX) this.#ahead.set(entry.maxTxid, entry);
  }

  /** An entry of another log is none for us; why it is there is looked at. */
  #isOurs(entry: LogEntry): boolean {
    const { log } = this.#sources;
    if (entry.maxTxid < this.#next - 1) return true;
    this.#strange = isOtherLog(entry.logId, log.id);
    if (!this.#strange) log.meet(entry, this.#next - 1);
    return !this.#strange;
  }

  /**
   * Whether this is still our log though there is an entry of another in it: a primary that does not know yet that its log was made
   * anew puts one and takes it away again. Where what the caller has last is another's, or nothing of ours is left, it is that log.
   */
  async #requireOurs(): Promise<void> {
    const { log } = this.#sources;
    const options = { signal: this.#signal };
    this.#strange = false;
    const own = this.#next - 1;
    const place = own === 0 ? undefined : await log.entry(own, options);
    if (place !== undefined) return log.meet(place, own);
    const entries = await log.entries(1, options);
    if (entries.some(({ logId }) => logId === log.id)) return;
    throw sqliteErrors.create('SQLITE_LOG_LOST', { bucket: log.bucket, txid: Math.max(1, own) });
  }

  /** The next watch event, `silent` after a time without one, `ended` when the watch broke off. */
  async #event(): Promise<BlobWatchEvent | 'silent' | 'ended'> {
    this.#watch ??= this.#sources.blobs.watch(SEGMENTS, { signal: this.#signal })[Symbol.asyncIterator]();
    if (!this.#asked) {
      // One handler per event, however often the wait for it times out.
      this.#asked = true;
      this.#watch.next().then(
        (result) => this.#arrive({ result }),
        (error: unknown) => this.#arrive({ error }),
      );
    }
    if (this.#arrived === undefined) await this.#quiet();
    const arrived = this.#arrived;
    this.#pauseMs = arrived === undefined ? Math.min(this.#pauseMs * 2, this.#probeMaxMs) : this.#probeMs;
    if (arrived === undefined) return 'silent';
    this.#arrived = undefined;
    this.#asked = false;
    if (arrived.result !== undefined && !arrived.result.done) return arrived.result.value;
    this.#watch = undefined;
    this.#synced = false;
    if (this.#signal.aborted) throw this.#signal.reason;
    const { error } = arrived;
    if (hasCode(error, 'BLOB_BUCKET_MISSING', 'NATS_CLOSED')) throw error;
    const reason = error === undefined ? 'it ended' : messageOf(error);
    this.#sources.logger.warn('log_watch_failed', { bucket: this.#sources.log.bucket, reason });
    return 'ended';
  }

  #arrive(arrived: Arrived): void {
    this.#arrived = arrived;
    this.#wake();
  }

  /** Until the watch has something, the probe is due, or the signal aborts. */
  async #quiet(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = this.#sources.clock.timer(this.#pauseMs, resolve);
    const onAbort = (): void => resolve();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    if (this.#signal.aborted) resolve();
    await promise;
    timer.cancel();
    this.#signal.removeEventListener('abort', onAbort);
    this.#signal.throwIfAborted();
  }

  /** Asks for the next name; where it is free though the log has gone past it, it was trimmed. */
  async #probe(): Promise<void> {
    const { log } = this.#sources;
    const options = { signal: this.#signal };
    const entry = await log.entry(this.#next, options);
    if (entry !== undefined && this.#isOurs(entry)) return this.#note(entry);
    const before = this.#next === 1 ? undefined : await log.entry(this.#next - 1, options);
    if (before !== undefined) log.meet(before, this.#next - 1);
    if (before !== undefined && this.#seen < this.#next) return;
    const first = (await log.entries(this.#next, options))[0];
    if (first === undefined) {
      // The newest entries are never trimmed: a log that ends before what we have has lost it.
      if (this.#next === 1 || before !== undefined || (await log.entry(this.#next - 1, options)) !== undefined) return;
      throw sqliteErrors.create('SQLITE_LOG_LOST', { bucket: log.bucket, txid: this.#next - 1 });
    }
    if (first.minTxid === this.#next) return this.#note(first);
    throw sqliteErrors.create('SQLITE_LOG_GAP', {
      bucket: log.bucket,
      from: this.#next,
      to: first.minTxid - 1,
      problem: 'trimmed away, or never stored',
    });
  }

  /** A probe is only a second pair of eyes: what it can't see now it will see later. */
  async #attempt(probe: () => Promise<void>): Promise<void> {
    try {
      await probe();
      this.#onSeen();
    } catch (error) {
      if (
        this.#signal.aborted ||
        hasCode(error, 'BLOB_BUCKET_MISSING', 'NATS_CLOSED', 'SQLITE_LOG_GAP', 'SQLITE_LOG_LOST')
      )
        throw error;
      this.#sources.logger.warn('log_probe_failed', { bucket: this.#sources.log.bucket, reason: messageOf(error) });
    }
  }
}
