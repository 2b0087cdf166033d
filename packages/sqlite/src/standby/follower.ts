/**
 * Keeps a replica file at the end of the log: entries arrive in order, are fetched and verified ahead, and everything
 * that has arrived by then is applied as one batch. What can pass (a full disk, a reader that won't let go, a network
 * that is down) is reported and tried again; what cannot (a gap, an object that stays damaged, a file that somebody else
 * changed) ends it with the error.
 */
import {
  abortable,
  CanopyError,
  type DatabaseEvent,
  type DatabaseLag,
  type Env,
  hasCode,
  messageOf,
  type Position,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import type { Segment, SegmentLog } from '../log/segment-log.ts';
import type { PageBatch, ReplicaFile } from './replica-file.ts';

/** Entries and compressed bytes that one apply takes at most; one larger entry is taken alone. */
const BATCH_ENTRIES = 256;
const BATCH_BYTES = 4 * 1024 * 1024;
/** A larger entry (a full image in the middle of the log) is not held in memory: the file is rebuilt, which streams it. */
const ENTRY_BYTES_MAX = 256 * 1024 * 1024;
/** Entries fetched at a time. */
const FETCH_AHEAD = 8;
/** Entries known but not yet applied; past it the log is not read on. */
const QUEUE_MAX = 8192;
const RETRY_MS = 1000;
const FLUSH_EVERY_MS = 1000;

/** An entry that was damaged at this many looks in a row is damaged for good. */
const DAMAGED_LOOKS = 3;
const DAMAGE = ['BLOB_CORRUPT', 'SQLITE_LTX_INVALID'] as const;

/** Errors after which this file cannot be brought forward any more. */
const FINAL = [
  'SQLITE_LOG_GAP',
  'SQLITE_LOG_LOST',
  'SQLITE_FILE_REPLACED',
  'SQLITE_REPLICA_MODIFIED',
  'SQLITE_PAGE_SIZE_MISMATCH',
] as const;

export interface FollowerDeps {
  readonly file: ReplicaFile;
  readonly log: SegmentLog;
  readonly env: Env;
  readonly stallAfterMs: number;
  onEvent(event: DatabaseEvent): void;
  onChange(): void;
}

interface Known {
  readonly entry: LogEntry;
  readonly seenAt: number;
}

interface Waiter {
  readonly txid: number;
  resolve(): void;
  reject(error: Error): void;
}

export class Follower {
  readonly #deps: FollowerDeps;
  readonly #queue: Known[] = [];
  readonly #controller = new AbortController();
  #waiters: Waiter[] = [];
  #logEnd: Position | undefined;
  #arrived: () => void = () => {};
  #drained: () => void = () => {};
  #problem: string | undefined;
  #appliedAt: number;
  #running: Promise<Error | undefined> | undefined;
  #applied = 0;
  /** The entry that could not be read, and how often. */
  #damaged = { txid: 0, looks: 0 };

  constructor(deps: FollowerDeps, logEnd: Position | undefined) {
    this.#deps = deps;
    this.#logEnd = logEnd;
    this.#appliedAt = deps.env.clock.monotonic();
  }

  get logEnd(): Position | undefined {
    return this.#logEnd;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** Entries applied since the start. */
  get applied(): number {
    return this.#applied;
  }

  lag(): DatabaseLag {
    const oldest = this.#queue[0];
    const end = this.#logEnd;
    const tx = end === undefined ? undefined : Math.max(0, end.txid - this.#deps.file.position.txid);
    if (tx === 0) return { tx, ms: 0, bytes: 0 };
    return {
      tx,
      ms: oldest === undefined ? undefined : this.#deps.env.clock.monotonic() - oldest.seenAt,
      bytes: tx === this.#queue.length ? this.#queue.reduce((sum, known) => sum + known.entry.size, 0) : undefined,
    };
  }

  /** Begins to follow. The promise never rejects: it gives the error that ended it, undefined after `stop`. */
  start(): Promise<Error | undefined> {
    this.#running ??= this.#run();
    return this.#running;
  }

  /** Ends after the apply that is under way. */
  async stop(): Promise<void> {
    this.#controller.abort(new DOMException('stopped', 'AbortError'));
    await this.#running;
  }

  /** Resolves once `txid` is applied; rejects when following ends before, or the signal aborts. */
  waitFor(txid: number, signal?: AbortSignal): Promise<void> {
    if (this.#deps.file.position.txid >= txid) return Promise.resolve();
    const waiting = new Promise<void>((resolve, reject) => this.#waiters.push({ txid, resolve, reject }));
    waiting.catch(() => {});
    return abortable(waiting, signal);
  }

  async #run(): Promise<Error | undefined> {
    const { signal } = this.#controller;
    let ended: Error | undefined;
    const first = (error: unknown): void => {
      if (!signal.aborted) ended = error as Error;
      this.#controller.abort(error);
    };
    const work = [this.#read(signal), this.#applyAll(signal), this.#watchStall(signal), this.#flushSometimes(signal)];
    await Promise.all(work.map((task) => task.catch(first)));
    const reason = ended ?? sqliteErrors.create('SQLITE_STOPPED', { path: 'this standby' });
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
    return ended;
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { log, env, file } = this.#deps;
    for await (const entry of log.follow(file.position.txid, { signal })) {
      const last = this.#queue.at(-1)?.entry.epoch ?? file.position.epoch;
      if (entry.epoch < last && entry.epoch !== 0)
        env.log.warn('log_epoch_fell', { txid: entry.maxTxid, from: last, to: entry.epoch });
      this.#queue.push({ entry, seenAt: env.clock.monotonic() });
      if (this.#queue.length === 1) this.#appliedAt = Math.max(this.#appliedAt, env.clock.monotonic());
      if (this.#logEnd === undefined || entry.maxTxid > this.#logEnd.txid)
        this.#logEnd = { epoch: entry.epoch, txid: entry.maxTxid };
      this.#arrived();
      while (this.#queue.length >= QUEUE_MAX && !signal.aborted)
        await this.#until((wake) => {
          this.#drained = wake;
        }, signal);
    }
  }

  async #applyAll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#queue.length === 0)
        await this.#until((wake) => {
          this.#arrived = wake;
        }, signal);
      else await this.#applySome(signal);
    }
  }

  async #applySome(signal: AbortSignal): Promise<void> {
    const { file, env } = this.#deps;
    const taken = this.#take();
    try {
      const batch = await this.#fetch(taken, signal);
      await file.apply(batch, signal);
    } catch (error) {
      if (signal.aborted || hasCode(error, ...FINAL) || this.#isDamagedForGood(error)) throw error;
      this.#failed(error);
      await env.clock.sleep(RETRY_MS, { signal });
      return;
    }
    this.#queue.splice(0, taken.length);
    this.#applied += taken.length;
    this.#appliedAt = env.clock.monotonic();
    this.#problem = undefined;
    this.#drained();
    this.#resolveWaiters();
    this.#deps.onChange();
  }

  #take(): LogEntry[] {
    const taken: LogEntry[] = [];
    let bytes = 0;
    for (const { entry } of this.#queue) {
      bytes += entry.size;
      // What lies before a damaged entry is not held up by it.
      const full = bytes > BATCH_BYTES || taken.length >= BATCH_ENTRIES || entry.maxTxid === this.#damaged.txid;
      if (taken.length > 0 && full) break;
      taken.push(entry);
    }
    return taken;
  }

  /** Counts the looks at it. */
  #isDamagedForGood(error: unknown): boolean {
    if (!hasCode(error, 'SQLITE_LOG_DAMAGED')) return false;
    const txid = Number(error.fields.txid);
    this.#damaged = { txid, looks: txid === this.#damaged.txid ? this.#damaged.looks + 1 : 1 };
    return this.#damaged.looks >= DAMAGED_LOOKS;
  }

  /** All entries verified before anything is touched; of each page the newest. */
  async #fetch(entries: readonly LogEntry[], signal: AbortSignal): Promise<PageBatch> {
    const pages = new Map<number, Uint8Array>();
    let commit = 0;
    let pageSize = 0;
    for (let at = 0; at < entries.length; at += FETCH_AHEAD) {
      const part = entries.slice(at, at + FETCH_AHEAD);
      for (const segment of await Promise.all(part.map((entry) => this.#fetchOne(entry, signal)))) {
        for (const page of segment.ltx.pages()) pages.set(page.pgno, page.data);
        commit = segment.ltx.header.commit;
        pageSize = segment.ltx.header.pageSize;
      }
    }
    const last = entries.at(-1) as LogEntry;
    return { to: { epoch: last.epoch, txid: last.maxTxid }, pageSize, commit, pages };
  }

  async #fetchOne(entry: LogEntry, signal: AbortSignal): Promise<Segment> {
    const gap = (problem: string): Error =>
      sqliteErrors.create('SQLITE_LOG_GAP', {
        bucket: this.#deps.log.bucket,
        from: entry.minTxid,
        to: entry.maxTxid,
        problem,
      });
    if (entry.size > ENTRY_BYTES_MAX) throw gap('too large to be applied at once');
    const segment = await this.#deps.log.read(entry.maxTxid, { signal, size: entry.size }).catch((error: unknown) => {
      if (!hasCode(error, ...DAMAGE)) throw error;
      const { bucket } = this.#deps.log;
      throw sqliteErrors.create('SQLITE_LOG_DAMAGED', { bucket, txid: entry.maxTxid, problem: error.message }, error);
    });
    if (segment !== undefined) return segment;
    throw gap('trimmed away before it was applied');
  }

  #failed(error: unknown): void {
    const message = messageOf(error);
    const again = this.#problem === message;
    this.#problem = message;
    this.#deps.onChange();
    if (again) return;
    const code = CanopyError.is(error) ? error.code : 'APPLY_FAILED';
    this.#deps.onEvent({ type: 'warning', code, message });
  }

  /** Keeps little unflushed, so that a promotion has little to wait for. */
  async #flushSometimes(signal: AbortSignal): Promise<void> {
    for (let flushed = 0; ; ) {
      await this.#deps.env.clock.sleep(FLUSH_EVERY_MS, { signal });
      if (flushed === this.#applied) continue;
      flushed = this.#applied;
      await this.#deps.file.flushData().catch((error) => this.#failed(error));
    }
  }

  /** Says again and again that the log has moved while nothing was applied. */
  async #watchStall(signal: AbortSignal): Promise<void> {
    const { env, stallAfterMs, file } = this.#deps;
    let toldAt = 0;
    while (!signal.aborted) {
      await env.clock.sleep(stallAfterMs / 4, { signal });
      const now = env.clock.monotonic();
      const behind = (this.#logEnd?.txid ?? 0) > file.position.txid;
      const sinceMs = now - this.#appliedAt;
      if (!behind || sinceMs < stallAfterMs || now - toldAt < stallAfterMs) continue;
      toldAt = now;
      this.#problem ??= `nothing was applied for ${Math.round(sinceMs)} ms though the log has moved on`;
      this.#deps.onEvent({ type: 'stalled', position: file.position, sinceMs });
      this.#deps.onChange();
    }
  }

  #resolveWaiters(): void {
    const { txid } = this.#deps.file.position;
    for (const waiter of this.#waiters) if (waiter.txid <= txid) waiter.resolve();
    this.#waiters = this.#waiters.filter((waiter) => waiter.txid > txid);
  }

  async #until(register: (wake: () => void) => void, signal: AbortSignal): Promise<void> {
    await abortable(new Promise<void>((resolve) => register(resolve)), signal);
  }
}
