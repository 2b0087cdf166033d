/**
 * A database that is being written here: reads the WAL as it grows and puts what was committed into the log, one entry
 * after the other. What is committed while a put is under way goes into the next entry. The application's writers are
 * never blocked but for the instant of our own checkpoints. Invariants: entries follow each other without a gap and only
 * under our epoch; once the log has refused one, nothing is sent any more; the WAL is reused only after it was read.
 */
import { closeSync, type FSWatcher, fstatSync, openSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import {
  abortable,
  assert,
  backoffMs,
  CanopyError,
  type DatabaseEvent,
  type Env,
  type Epoch,
  hasCode,
  messageOf,
  type Position,
  TaskGroup,
} from '@canopy/core';
import type { ResolvedSqliteOptions } from '../database/options.ts';
import { sqliteErrors } from '../errors.ts';
import { wrapFileError } from '../process/system-errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { createSnapshot } from '../restore/snapshot.ts';
import type { WalBatch, WalCursor } from '../wal/reader.ts';
import { encodeFrames, encodeImage, imagePage, type PageReaders } from './segment-builder.ts';
import { WalPin } from './wal-pin.ts';
import { WalTail } from './wal-tail.ts';

/** Looks at the WAL this often for a while after a commit; the watch is what notices, the look covers for it. */
const ACTIVE_POLL_MS = 20;
const ACTIVE_FOR_MS = 1000;
const RETRY = { initialMs: 50, maxMs: 2000 };
/** The log can't take anything until somebody acts. */
const REFUSALS = ['BLOB_BUCKET_MISSING', 'BUCKET_FULL', 'NATS_PERMISSION'] as const;
/** Tries at raising the barrier are this far apart while a writer keeps it. */
const BARRIER_RETRY_MS = 250;
/** Entries after which a snapshot is due before its time: a new node has to fetch them one by one. */
const SNAPSHOT_ENTRIES = 5000;

export interface PrimaryDeps {
  readonly path: string;
  readonly node: string;
  readonly epoch: Epoch;
  readonly env: Env;
  readonly log: SegmentLog;
  readonly options: ResolvedSqliteOptions;
  onEvent(event: DatabaseEvent): void;
  /** Position, size or problem changed. */
  onChange(): void;
}

export interface PrimaryStart {
  /** The log's end. */
  readonly position: Position;
  /** Where in the WAL that is; undefined: at its start. */
  readonly cursor: WalCursor | undefined;
  readonly restartable: boolean;
  /** Pages of the database at `position`. */
  readonly commit: number;
  /** The log is ours already, or is to be taken with what the WAL has after the cursor, or with a full image. */
  readonly claim: 'done' | 'frames' | 'image';
}

interface Waiter {
  resolve(position: Position): void;
  reject(error: Error): void;
}

interface PendingEntry {
  readonly txid: number;
  readonly kind: 'claim' | 'commit' | 'snapshot';
  readonly bytes: Uint8Array;
  readonly commit: number;
}

interface FrozenImage {
  readonly txid: number;
  readonly commit: number;
  /** Pages that are in the WAL; all others are in the file. */
  readonly frames: ReadonlyMap<number, number>;
}

export class Primary {
  readonly #deps: PrimaryDeps;
  readonly #fd: number;
  readonly #pin: WalPin;
  readonly #tail: WalTail;
  readonly #readers: PageReaders;
  readonly #tasks: TaskGroup;
  #watcher: FSWatcher | undefined;
  #position: Position;
  #commit: number;
  readonly #waiters: Waiter[] = [];
  /** Those whose commits the pass under way contains. */
  #covered: Waiter[] = [];
  #pending: PendingEntry | undefined;
  #ended: CanopyError | undefined;
  #problem: string | undefined;
  #wake: () => void = () => {};
  #woken = false;
  #lastCommitAt = 0;
  #nextBarrierAt = 0;
  #checkpointedPages = 0;
  #warnedWal = false;
  #snapshotTxid: number;
  #snapshotting = false;
  #closed = false;
  #snapshotDueAt: number;
  #lastSnapshotAt: number | undefined;

  private constructor(deps: PrimaryDeps, start: PrimaryStart) {
    this.#deps = deps;
    this.#position = start.position;
    this.#commit = start.commit;
    this.#snapshotTxid = start.position.txid;
    this.#snapshotDueAt = deps.env.clock.monotonic() + deps.options.snapshotIntervalMs;
    this.#tasks = new TaskGroup((error, task) => this.#fail(error, task));
    // The raw descriptor comes before SQLite's first lock and goes after the last.
    const opening: (() => void)[] = [];
    try {
      this.#fd = openSync(deps.path, 'r');
      opening.unshift(() => closeSync(this.#fd));
      this.#pin = new WalPin(deps.path, { busyTimeoutMs: deps.options.busyTimeoutMs });
      opening.unshift(() => this.#pin.close());
      this.#pin.pin();
      this.#tail = new WalTail(deps.path, start);
      const frame: PageReaders['frame'] = (offset, into) => this.#tail.page(offset, into);
      this.#readers = { pageSize: this.#pin.pageSize(), fd: this.#fd, frame };
    } catch (error) {
      for (const close of opening) close();
      throw wrapFileError(error, deps.path);
    }
  }

  /** Opens a WAL-mode database and, where the claim is still open, takes the log. Nothing stays open on failure. */
  static async open(deps: PrimaryDeps, start: PrimaryStart, signal: AbortSignal): Promise<Primary> {
    const primary = new Primary(deps, start);
    try {
      if (start.claim !== 'done') await primary.#claim(start.claim, signal);
      primary.#run();
      return primary;
    } catch (error) {
      await primary.close();
      throw error;
    }
  }

  get position(): Position {
    return this.#position;
  }

  get sizeBytes(): number {
    return this.#commit * this.#readers.pageSize;
  }

  get problem(): string | undefined {
    return this.#ended?.message ?? this.#problem;
  }

  get lastSnapshotAt(): number | undefined {
    return this.#lastSnapshotAt;
  }

  get isFenced(): boolean {
    return hasCode(this.#ended, 'SQLITE_FENCED');
  }

  /** Where reading stands, for a later life of this file. */
  get cursor(): WalCursor | undefined {
    return this.#tail.cursor;
  }

  /** Everything committed before the call is in the log when this resolves. Callers share passes. Throws SQLITE_FENCED. */
  sync(signal?: AbortSignal): Promise<Position> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const passed = new Promise<Position>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    passed.catch(() => {});
    this.#wakeUp();
    return abortable(passed, signal);
  }

  /** Another epoch owns the log: nothing is sent from now on. */
  fence(epoch: Epoch, position: Position): void {
    if (this.#ended !== undefined) return;
    this.#end(
      sqliteErrors.create('SQLITE_FENCED', {
        bucket: this.#deps.log.bucket,
        txid: position.txid,
        epoch: this.#deps.epoch,
        node: this.#deps.node,
        takenEpoch: epoch,
        takenNode: 'another node',
      }),
    );
    this.#deps.onEvent({ type: 'fenced', epoch, position });
  }

  /** Ends all work. True: everything committed is in the log. The database stays open until `leave` or `close`. */
  async finish(timeoutMs: number): Promise<boolean> {
    await this.sync(AbortSignal.any([this.#tasks.signal, this.#timeout(timeoutMs)])).catch(() => {});
    this.#end(sqliteErrors.create('SQLITE_NOT_PRIMARY', { path: this.#deps.path, role: 'demoting' }));
    await this.#tasks.stop();
    return this.#pending === undefined && this.#tail.next().type === 'nothing';
  }

  /**
   * After `finish`: copies the WAL into the file and switches it to rollback mode, in place. True when nothing was
   * written in between. Throws SQLITE_DATABASE_BUSY when another program keeps the database open past the bound.
   */
  async leave(): Promise<boolean> {
    const { env, options, path } = this.#deps;
    const deadline = env.clock.monotonic() + options.lockTimeoutMs;
    while (!this.#pin.leaveWal()) {
      if (env.clock.monotonic() >= deadline)
        throw sqliteErrors.create('SQLITE_DATABASE_BUSY', { path, timeoutMs: options.lockTimeoutMs });
      await env.clock.sleep(20);
    }
    // The file is gone by now, but our descriptor still shows what was in it at the end.
    return this.#tail.next().type === 'nothing';
  }

  async close(): Promise<void> {
    this.#end(sqliteErrors.create('SQLITE_STOPPED', { path: this.#deps.path }));
    await this.#tasks.stop();
    if (this.#closed) return;
    this.#closed = true;
    this.#tail.close();
    this.#pin.close();
    closeSync(this.#fd);
  }

  #run(): void {
    this.#watch();
    this.#tasks.run('ship', (signal) => this.#ship(signal));
    this.#tasks.run('fence', (signal) => this.#watchFence(signal));
  }

  async #claim(how: 'frames' | 'image', signal: AbortSignal): Promise<void> {
    const step = this.#tail.next();
    if (how === 'frames' && step.type === 'frames') this.#prepareFrames(step.batch, 'claim');
    else await this.#prepareImage('claim', signal);
    await this.#put(signal);
  }

  async #ship(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wakeUp(), { once: true });
    while (!signal.aborted && this.#ended === undefined) {
      const busy = await this.#pass(signal);
      if (this.#ended !== undefined) return;
      this.#checkFile();
      if (this.#checkpointDue()) await this.#checkpoint(signal);
      if (this.#snapshotDue()) await this.#snapshot(signal);
      if (!busy) await this.#sleep(signal);
    }
  }

  /** Reads what is there and puts it into the log. False when there was nothing. */
  async #pass(signal: AbortSignal): Promise<boolean> {
    this.#covered = this.#waiters.splice(0);
    try {
      if (this.#pending !== undefined) await this.#put(signal);
      const step = this.#tail.next();
      if (step.type === 'lost') {
        this.#deps.onEvent({ type: 'warning', code: 'WAL_LOST', message: `${step.reason}; sending a full image` });
        await this.#prepareImage('commit', signal);
      } else if (step.type === 'frames') this.#prepareFrames(step.batch, 'commit');
      if (step.type !== 'nothing') {
        this.#lastCommitAt = this.#deps.env.clock.monotonic();
        await this.#put(signal);
      }
      const covered = this.#covered.splice(0);
      if (step.type === 'frames' && step.batch.more) this.#waiters.unshift(...covered);
      else for (const waiter of covered) waiter.resolve(this.#position);
      return step.type !== 'nothing';
    } catch (error) {
      if (!hasCode(error, 'SQLITE_FENCED')) throw error;
      this.#end(error);
      const epoch = Number(error.fields.takenEpoch ?? 0) as Epoch;
      this.#deps.onEvent({ type: 'fenced', epoch, position: this.#position });
      return false;
    }
  }

  #prepareFrames(batch: WalBatch, kind: 'claim' | 'commit'): void {
    assert(batch.commit !== undefined, 'a batch with frames has a size');
    const txid = this.#position.txid + 1;
    const found = { ...batch, commit: batch.commit };
    const bytes = encodeFrames(txid, this.#deps.env.clock.wall(), found, this.#commit, this.#readers);
    this.#pending = { txid, kind, bytes, commit: batch.commit };
    this.#tail.advance(batch.end);
  }

  /** The whole database as one entry. Writers wait only until its end is pinned. */
  async #prepareImage(kind: 'claim' | 'commit', signal: AbortSignal): Promise<void> {
    const { commit, frames } = await this.#freeze(signal);
    const txid = this.#position.txid + 1;
    const image = { commit, frames, end: this.#tail.cursor };
    const bytes = encodeImage(txid, this.#deps.env.clock.wall(), image, this.#readers);
    this.#pending = { txid, kind, bytes, commit };
  }

  /** Pins the present end: page numbers to WAL frames, all others are in the file and stay as they are. */
  async #freeze(signal: AbortSignal): Promise<{ commit: number; frames: ReadonlyMap<number, number> }> {
    while (!this.#pin.raiseBarrier()) await this.#deps.env.clock.sleep(BARRIER_RETRY_MS, { signal });
    try {
      const { complete } = this.#pin.checkpoint();
      const frames = this.#tail.scanAll();
      this.#tail.sealed(complete);
      return { commit: this.#pin.pageCount(), frames: complete ? new Map() : frames };
    } finally {
      this.#pin.dropBarrier();
    }
  }

  /** Puts the prepared entry, again and again until the outcome is known. Throws SQLITE_FENCED. */
  async #put(signal: AbortSignal): Promise<void> {
    const entry = this.#pending;
    if (entry === undefined) return;
    const { env, log, epoch, node } = this.#deps;
    for (let attempt = 0; ; attempt++) {
      try {
        await log.append({ txid: entry.txid, epoch, node, kind: entry.kind, bytes: entry.bytes }, { signal });
        break;
      } catch (error) {
        signal.throwIfAborted();
        if (hasCode(error, 'SQLITE_FENCED')) throw error;
        this.#shipFailed(error, attempt);
        await env.clock.sleep(backoffMs(attempt, RETRY, env.random), { signal });
      }
    }
    this.#pending = undefined;
    this.#problem = undefined;
    this.#position = { epoch, txid: entry.txid };
    this.#commit = entry.commit;
    this.#deps.onChange();
  }

  #shipFailed(error: unknown, attempt: number): void {
    this.#problem = `the log does not take transactions: ${messageOf(error)}`;
    this.#deps.onChange();
    // Somebody has to do something before it can go on: those who wait are told, the work is tried again all the same.
    if (hasCode(error, ...REFUSALS)) this.#rejectWaiters(error);
    if (attempt !== 1) return;
    const code = CanopyError.is(error) ? error.code : 'SHIP_FAILED';
    this.#deps.onEvent({ type: 'warning', code, message: this.#problem });
  }

  #checkpointDue(): boolean {
    const pages = this.#walPages();
    // The pages of an image that is being read must stay where they are.
    if (this.#snapshotting || this.#deps.env.clock.monotonic() < this.#nextBarrierAt) return false;
    return pages - this.#checkpointedPages >= this.#deps.options.checkpointPages;
  }

  #walPages(): number {
    return ((this.#tail.cursor?.offset ?? 32) - 32) / (24 + this.#readers.pageSize);
  }

  /** Reads the rest with writers kept out, copies the WAL into the file, pins its end, lets writers in, then ships. */
  async #checkpoint(signal: AbortSignal): Promise<void> {
    const { env, options } = this.#deps;
    if (!this.#pin.raiseBarrier()) {
      this.#nextBarrierAt = env.clock.monotonic() + BARRIER_RETRY_MS;
      return;
    }
    try {
      const step = this.#tail.next();
      if (step.type === 'lost') return;
      if (step.type === 'frames') this.#prepareFrames(step.batch, 'commit');
      if (step.type === 'frames' && step.batch.more) return;
      const { complete } = this.#pin.checkpoint();
      this.#tail.sealed(complete);
      this.#checkpointedPages = complete ? 0 : this.#walPages();
      if (complete) this.#warnedWal = false;
      else this.#nextBarrierAt = env.clock.monotonic() + 1000;
    } finally {
      this.#pin.dropBarrier();
    }
    // After a complete one the old frames count no more, though the cursor still stands behind them.
    if (this.#checkpointedPages === 0) this.#checkpointedPages = this.#walPages();
    if (this.#pending !== undefined) await this.#pass(signal);
    if (this.#tail.sizeBytes > options.maxWalBytes && !this.#warnedWal) {
      this.#warnedWal = true;
      const message = `the WAL has ${this.#tail.sizeBytes} bytes: a program keeps a read transaction open`;
      this.#deps.onEvent({ type: 'warning', code: 'WAL_LARGE', message });
    }
  }

  #snapshotDue(): boolean {
    const entries = this.#position.txid - this.#snapshotTxid;
    if (entries === 0 || this.#snapshotting) return false;
    return entries >= SNAPSHOT_ENTRIES || this.#deps.env.clock.monotonic() >= this.#snapshotDueAt;
  }

  /** Freezes the present state, then stores it as a full image beside the shipping, which goes on. */
  async #snapshot(signal: AbortSignal): Promise<void> {
    const { env, options } = this.#deps;
    const image = this.#freezeCaptured();
    if (image === undefined) return;
    this.#snapshotDueAt = env.clock.monotonic() + options.snapshotIntervalMs;
    // The image is that of the entry just prepared: it must be in the log first.
    if (this.#pending !== undefined) await this.#pass(signal);
    if (this.#ended !== undefined || this.#position.txid !== image.txid) return;
    const { position } = this;
    this.#snapshotTxid = position.txid;
    this.#snapshotting = true;
    this.#tasks.run('snapshot', (stopped) =>
      this.#store(position, image, stopped).finally(() => {
        this.#snapshotting = false;
      }),
    );
  }

  async #store(position: Position, image: FrozenImage, signal: AbortSignal): Promise<void> {
    const { env, options, log, epoch, node } = this.#deps;
    const startedAt = env.clock.monotonic();
    const { pageSize } = this.#readers;
    const buffer = new Uint8Array(pageSize);
    const read = (pgno: number): Uint8Array => imagePage(pgno, image.frames, this.#readers, buffer);
    const source = { pageSize, pageCount: image.commit, read };
    try {
      const { txid } = position;
      const entry = await createSnapshot({ log, epoch, node, txid, timestamp: env.clock.wall(), source, signal });
      this.#lastSnapshotAt = entry.storedAt;
      const ms = env.clock.monotonic() - startedAt;
      this.#deps.onEvent({ type: 'snapshot_created', position, bytes: entry.size, ms });
      await log.trim({ keepSnapshotsMs: options.retentionMs, signal });
    } catch (error) {
      if (signal.aborted) return;
      // The log goes on without it; the next interval tries again.
      this.#deps.onEvent({ type: 'warning', code: 'SNAPSHOT_FAILED', message: messageOf(error) });
    }
  }

  /** Reads the rest with writers kept out and pins the end: what is frozen is exactly the entry prepared last. */
  #freezeCaptured(): FrozenImage | undefined {
    if (!this.#pin.raiseBarrier()) return undefined;
    try {
      const step = this.#tail.next();
      if (step.type === 'lost' || (step.type === 'frames' && step.batch.more)) return undefined;
      if (step.type === 'frames') this.#prepareFrames(step.batch, 'commit');
      const { complete } = this.#pin.checkpoint();
      const frames = this.#tail.scanAll();
      this.#tail.sealed(complete);
      this.#checkpointedPages = this.#walPages();
      const txid = this.#pending?.txid ?? this.#position.txid;
      return { txid, commit: this.#pin.pageCount(), frames: complete ? new Map() : frames };
    } finally {
      this.#pin.dropBarrier();
    }
  }

  async #watchFence(signal: AbortSignal): Promise<void> {
    for await (const entry of this.#deps.log.follow(this.#position.txid, { signal })) {
      if (entry.epoch <= this.#deps.epoch) continue;
      this.fence(entry.epoch, { epoch: entry.epoch, txid: entry.maxTxid });
      return;
    }
  }

  #checkFile(): void {
    const { path } = this.#deps;
    const now = statSync(path, { throwIfNoEntry: false });
    const same = now?.ino === fstatSync(this.#fd).ino;
    if (same && !this.#tail.isGone) return;
    const how = now === undefined ? 'deleted' : same ? 'robbed of its -wal file' : 'replaced';
    throw sqliteErrors.create('SQLITE_FILE_REPLACED', { path, how });
  }

  #watch(): void {
    const name = `${basename(this.#deps.path)}-wal`;
    try {
      this.#watcher = watch(dirname(this.#deps.path), { persistent: false }, (_event, changed) => {
        if (changed === null || changed === name) this.#wakeUp();
      });
      this.#watcher.on('error', () => this.#unwatch());
    } catch (error) {
      // No watches left on this machine: polling alone still works.
      this.#deps.env.log.warn('wal_watch_unavailable', { reason: messageOf(error) });
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #wakeUp(): void {
    this.#woken = true;
    this.#wake();
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    if (!this.#woken && this.#waiters.length === 0 && !signal.aborted) {
      const { clock } = this.#deps.env;
      const active = clock.monotonic() - this.#lastCommitAt < ACTIVE_FOR_MS;
      const idleMs = this.#deps.options.pollIntervalMs;
      await new Promise<void>((resolve) => {
        const timer = clock.timer(active ? Math.min(ACTIVE_POLL_MS, idleMs) : idleMs, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = () => {};
    }
    this.#woken = false;
  }

  #timeout(ms: number): AbortSignal {
    const controller = new AbortController();
    this.#deps.env.clock.timer(ms, () => controller.abort(new DOMException('too late', 'AbortError')), { background: true });
    return controller.signal;
  }

  #end(error: CanopyError): void {
    this.#unwatch();
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#rejectWaiters(error);
    this.#wakeUp();
    this.#deps.onChange();
  }

  #rejectWaiters(error: Error): void {
    for (const waiter of [...this.#covered.splice(0), ...this.#waiters.splice(0)]) waiter.reject(error);
  }

  #fail(error: Error, task: string): void {
    this.#deps.env.log.error('primary_failed', { task, reason: error.message });
    const known = CanopyError.is(error) ? error : sqliteErrors.create('SQLITE_PROCESS_DIED', { path: this.#deps.path, how: `${task}: ${error.message}` }, error);
    this.#end(known);
    this.#deps.onEvent({ type: 'failed', error: known });
  }
}
