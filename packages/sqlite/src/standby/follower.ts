/**
 * Keeps a replica file at the end of the log: everything that has arrived by then is applied as one batch. What can pass
 * (a full disk, a reader that won't let go, a network that is down) is reported and tried again; what cannot (a gap that
 * nothing bridges, an object that stays damaged, a file that somebody else changed) ends it with the error.
 */
import {
  abortable,
  assert,
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
import type { SegmentLog } from '../log/segment-log.ts';
import { EntryFeed } from './entry-feed.ts';
import { gather, SPOOL_BYTES } from './gather.ts';
import { LogSight } from './log-sight.ts';
import type { ReplicaFile } from './replica-file.ts';
import { StallWatch } from './stall-watch.ts';

/** Entries and compressed bytes that one apply takes at most; one larger entry is taken alone. */
const BATCH = { entries: 256, bytes: SPOOL_BYTES };
const RETRY_MS = 1000;
const EVERY_MS = 1000;
const UNKNOWN: DatabaseLag = { tx: undefined, ms: undefined, bytes: undefined };

/** An entry that was damaged at this many looks in a row is damaged for good. */
const DAMAGED_LOOKS = 3;

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
  /** For what is too large for memory. */
  readonly directory: string;
  readonly stallAfterMs: number;
  /** Whether NATS is reached now. Absent: the log is not in NATS. */
  isConnected?: (() => boolean) | undefined;
  onEvent(event: DatabaseEvent): void;
  onChange(): void;
  /** Tells others what is applied. */
  readonly reporter?: { run(signal: AbortSignal): Promise<void>; tell(): void } | undefined;
}

interface Waiter {
  readonly txid: number;
  resolve(): void;
  reject(error: Error): void;
}

export class Follower {
  readonly #deps: FollowerDeps;
  readonly #feed: EntryFeed;
  readonly #stalls: StallWatch;
  readonly #sight = new LogSight();
  readonly #controller = new AbortController();
  #waiters: Waiter[] = [];
  #problem: string | undefined;
  #stall: string | undefined;
  /** When something was applied last, or the first entry arrived after that. */
  #movedAt: number;
  #work: { readonly what: string; readonly since: number } | undefined;
  #running: Promise<Error | undefined> | undefined;
  #applied = 0;
  /** The entry that could not be read, and how often. */
  #damaged = { txid: 0, looks: 0 };

  constructor(deps: FollowerDeps, logEnd: Position | undefined) {
    this.#deps = deps;
    this.#movedAt = deps.env.clock.monotonic();
    this.#stalls = new StallWatch(deps.stallAfterMs);
    const { log, env, file } = deps;
    const onArrival = (): void => {
      if (this.#feed.length === 1) this.#movedAt = Math.max(this.#movedAt, env.clock.monotonic());
    };
    const onProblem = (error: unknown): void => this.#failed(error);
    this.#feed = new EntryFeed({ log, env, applied: () => file.position, onArrival, onProblem }, logEnd);
  }

  get logEnd(): Position | undefined {
    return this.#feed.logEnd;
  }

  get problem(): string | undefined {
    return this.#sight.problem ?? this.#stall ?? this.#problem;
  }

  /** Entries applied since the start. */
  get applied(): number {
    return this.#applied;
  }

  lag(): DatabaseLag {
    return this.#sight.isDark ? UNKNOWN : this.#feed.lag();
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
  async waitFor(txid: number, signal?: AbortSignal): Promise<void> {
    if (this.#deps.file.position.txid >= txid) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { txid, resolve, reject };
    this.#waiters.push(waiter);
    try {
      await abortable(promise, signal);
    } finally {
      this.#waiters = this.#waiters.filter((one) => one !== waiter);
    }
  }

  async #run(): Promise<Error | undefined> {
    const { signal } = this.#controller;
    let ended: Error | undefined;
    const first = (error: unknown): void => {
      if (!signal.aborted) ended = error as Error;
      this.#controller.abort(error);
    };
    const work = [this.#feed.run(signal), this.#applyAll(signal), this.#watchStall(signal), this.#everySecond(signal)];
    const telling = this.#deps.reporter?.run(signal);
    await Promise.all(work.map((task) => task.catch(first)));
    await telling;
    const reason = ended ?? sqliteErrors.create('SQLITE_STOPPED', { path: 'this standby' });
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
    return ended;
  }

  async #applyAll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#feed.arrival(signal);
      try {
        await this.#applySome(signal);
        continue;
      } catch (error) {
        if (signal.aborted) throw error;
        // Trimmed away since it was seen: something of a higher level has it.
        if (hasCode(error, 'SQLITE_LOG_GAP') && (await this.#feed.restart(signal))) continue;
        if (hasCode(error, ...FINAL) || this.#isDamagedForGood(error)) throw error;
        this.#failed(error);
      } finally {
        this.#work = undefined;
      }
      await this.#deps.env.clock.sleep(RETRY_MS, { signal });
    }
  }

  async #applySome(signal: AbortSignal): Promise<void> {
    const { file, env, log, directory } = this.#deps;
    // What lies before a damaged entry is not held up by it.
    const entries = this.#feed.take({ ...BATCH, apart: this.#damaged.txid });
    const { pageSize, sizeBytes, position } = file;
    const next = entries[0] as LogEntry;
    assert(
      next.minTxid <= position.txid + 1 && next.maxTxid > position.txid,
      'the next entry carries on from the file',
    );
    this.#work = { what: `transaction ${next.minTxid} is being fetched`, since: env.clock.monotonic() };
    const gathered = await gather({ log, directory, pageSize, commit: sizeBytes / pageSize, signal }, entries);
    this.#work = { what: 'other programs keep the file from being written', since: env.clock.monotonic() };
    try {
      await file.apply(gathered.batch, signal);
    } finally {
      gathered.close();
    }
    this.#feed.drop(file.position.txid);
    this.#applied += gathered.taken;
    this.#movedAt = env.clock.monotonic();
    this.#problem = undefined;
    this.#stall = undefined;
    this.#resolveWaiters();
    this.#deps.reporter?.tell();
    this.#deps.onChange();
  }

  /** Counts the looks at it. */
  #isDamagedForGood(error: unknown): boolean {
    if (!hasCode(error, 'SQLITE_LOG_DAMAGED')) return false;
    const txid = Number(error.fields.txid);
    this.#damaged = { txid, looks: txid === this.#damaged.txid ? this.#damaged.looks + 1 : 1 };
    return this.#damaged.looks >= DAMAGED_LOOKS;
  }

  #failed(error: unknown): void {
    const message = messageOf(error);
    const again = this.#problem === message;
    this.#problem = message;
    this.#deps.onChange();
    if (again) return;
    const { code, hint } = CanopyError.is(error) ? error : { code: 'APPLY_FAILED' };
    this.#deps.onEvent({ type: 'warning', code, message, hint });
  }

  /** Looks whether the log is seen. Keeps little unflushed, so that a promotion has little to wait for. */
  async #everySecond(signal: AbortSignal): Promise<void> {
    for (let flushed = 0; ; ) {
      await this.#deps.env.clock.sleep(EVERY_MS, { signal });
      this.#lookForLog();
      if (flushed === this.#applied) continue;
      flushed = this.#applied;
      await this.#deps.file.flushData().catch((error) => this.#failed(error));
    }
  }

  /** Says, once it has lasted, that the log is not seen, and when that is over. */
  #lookForLog(): void {
    const { env, file, isConnected, onEvent, onChange } = this.#deps;
    const now = env.clock.monotonic();
    const wasDark = this.#sight.isDark;
    // Where something is left to apply the log is not read on, and need not be.
    const seenAt = this.#feed.length > 0 ? now : this.#feed.seenAt;
    const news = this.#sight.look({ now, isConnected: isConnected?.() !== false, seenAt });
    const { position } = file;
    if (news?.type === 'interrupted')
      onEvent({ type: 'following_interrupted', position, sinceMs: news.ms, reason: news.reason });
    else if (news !== undefined) onEvent({ type: 'following_resumed', position, ms: news.ms });
    if (news !== undefined || wasDark !== this.#sight.isDark) onChange();
  }

  /** Says again and again that nothing is applied though the log has moved. */
  async #watchStall(signal: AbortSignal): Promise<void> {
    const { env, stallAfterMs, file } = this.#deps;
    for (;;) {
      await env.clock.sleep(stallAfterMs / 4, { signal });
      const stall = this.#stalls.look({
        now: env.clock.monotonic(),
        isBehind: (this.logEnd?.txid ?? 0) > file.position.txid,
        movedAt: this.#movedAt,
        work: this.#work,
        problem: this.#problem,
      });
      const changed = (stall === undefined) !== (this.#stall === undefined);
      this.#stall = stall?.reason;
      if (stall?.isNews) this.#deps.onEvent({ type: 'stalled', position: file.position, sinceMs: stall.sinceMs });
      if (changed || stall?.isNews) this.#deps.onChange();
    }
  }

  #resolveWaiters(): void {
    const { txid } = this.#deps.file.position;
    for (const waiter of this.#waiters) if (waiter.txid <= txid) waiter.resolve();
  }
}
