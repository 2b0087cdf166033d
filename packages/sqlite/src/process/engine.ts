/**
 * The database on this node, in one of its roles: a standby that follows the log, a standby whose own file begins or is
 * ahead of the log and waits for its promotion, or the primary. Changes of role run one after the other. Invariants:
 * one process per file (the lock); the state file is written before the file changes its nature; a file that holds
 * commits which the log does not have is kept, here or aside, never overwritten.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  CanopyError,
  type DatabaseEvent,
  type DatabaseLag,
  type DatabaseRole,
  type DatabaseStatus,
  type Env,
  type Epoch,
  hasCode,
  messageOf,
  type Position,
  START,
} from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { finishInterrupted, keepDivergence, listDivergences } from '../divergence/keep.ts';
import { sqliteErrors } from '../errors.ts';
import { SegmentLog } from '../log/segment-log.ts';
import { Primary } from '../primary/primary.ts';
import { bootstrap, removeDatabase } from '../standby/bootstrap.ts';
import { Follower } from '../standby/follower.ts';
import { locateReplica, ReplicaFile } from '../standby/replica-file.ts';
import type { WalCursor } from '../wal/reader.ts';
import { DatabaseLock } from './database-lock.ts';
import { type ModeOptions, requireVersion, switchToRollback } from './file-mode.ts';
import { inspectFile, type LocalFile, readHeaderOf } from './local-file.ts';
import { isEmptyDatabase, promoteLocal, promoteReplica } from './promotion.ts';
import type { DatabaseSpec } from './protocol.ts';
import { bootId, readState, type StandbyState, writeState } from './state-file.ts';
import { wrapFileError } from './system-errors.ts';

/** How long a predecessor that is just ending may keep the lock. */
const LOCK_WAIT_MS = 5000;
/** Bound on shipping the rest when the role ends and the log does not answer. */
const FINISH_MS = 4000;
const RETRY_MS = 1000;

export interface EngineDeps {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly pid: number;
  connect(): Promise<NatsSession>;
  onEvent(event: DatabaseEvent): void;
  onStatus(): void;
}

/** What the file is at the moment. */
export type Mode =
  | { readonly kind: 'none' }
  | { readonly kind: 'replica'; readonly file: ReplicaFile; readonly follower: Follower }
  /** Our own file is the truth from `position` on; the log may be continued from it, but nothing may be applied to it. */
  | { readonly kind: 'local'; readonly position: Position; readonly cursor: WalCursor | undefined; stop(): void }
  | { readonly kind: 'primary'; readonly primary: Primary };

export class DatabaseEngine {
  readonly #deps: EngineDeps;
  readonly #directory: string;
  readonly #statePath: string;
  readonly #boot = bootId();
  readonly #stopped = new AbortController();
  readonly #closed = Promise.withResolvers<void>();
  #role: DatabaseRole = 'closed';
  #mode: Mode = { kind: 'none' };
  #position: Position = START;
  #sizeBytes: number | undefined;
  #problem: string | undefined;
  #divergences: readonly string[] = [];
  #lastSnapshotAt: number | undefined;
  #lock: DatabaseLock | undefined;
  #session: NatsSession | undefined;
  #log!: SegmentLog;
  #turn: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(deps: EngineDeps) {
    this.#deps = deps;
    this.#directory = `${deps.spec.path}-canopy`;
    this.#statePath = join(this.#directory, 'state.json');
  }

  /** Resolves after stop(). */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  start(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#exclusive(async () => {
      this.#setRole('opening');
      try {
        requireVersion();
        await this.#open(options.signal);
        await this.#settle(options.signal);
      } catch (error) {
        await this.#close();
        this.#problem = messageOf(error);
        this.#setRole('failed');
        throw error;
      }
    });
  }

  promote(options: { epoch: Epoch; signal: AbortSignal }): Promise<Position> {
    return this.#exclusive(async () => {
      if (this.#mode.kind !== 'replica' && this.#mode.kind !== 'local') throw this.#wrongRole();
      this.#setRole('promoting');
      const mode = this.#mode;
      const context = {
        ...this.#deps,
        log: this.#log,
        statePath: this.#statePath,
        // An event of a primary that is primary no more has nothing to say.
        onChange: () => this.#statusChanged(),
      };
      try {
        const primary = await (mode.kind === 'replica'
          ? promoteReplica(context, mode, options.epoch, options.signal)
          : promoteLocal(context, mode, options.epoch, options.signal));
        this.#mode = { kind: 'primary', primary };
        this.#problem = undefined;
        this.#setRole('primary');
        return primary.position;
      } catch (error) {
        await this.#undo();
        throw error;
      }
    });
  }

  demote(options: { onShipped?: (position: Position) => void } = {}): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#mode.kind !== 'primary') throw this.#wrongRole();
      this.#setRole('demoting');
      try {
        await this.#endPrimary(this.#mode.primary, options.onShipped);
        await this.#settle();
      } catch (error) {
        // Nothing is lost: the file stays as it is, and becomes a standby's as soon as it can.
        this.#problem = messageOf(error);
        this.#inBackground(() => this.#retrySettle(this.#stopped.signal));
        throw error;
      }
    });
  }

  sync(options: { signal?: AbortSignal | undefined } = {}): Promise<Position> {
    if (this.#mode.kind !== 'primary') return Promise.reject(this.#wrongRole());
    return this.#mode.primary.sync(options.signal);
  }

  async waitFor(position: Position, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    while (this.#at().txid < position.txid) {
      options.signal?.throwIfAborted();
      this.#stopped.signal.throwIfAborted();
      const mode = this.#mode;
      try {
        if (mode.kind === 'replica') await mode.follower.waitFor(position.txid, options.signal);
        else await this.#deps.env.clock.sleep(20, options);
      } catch {
        // Following ended: either we are aborted too, or it begins again with another file.
        options.signal?.throwIfAborted();
        await this.#deps.env.clock.sleep(20, options);
      }
    }
  }

  status(): DatabaseStatus {
    const mode = this.#mode;
    const position = this.#at();
    return {
      role: this.#role,
      path: this.#deps.spec.path,
      position,
      logEnd: mode.kind === 'replica' ? mode.follower.logEnd : mode.kind === 'none' ? undefined : position,
      lag: this.#lag(),
      sizeBytes: this.#size(),
      lastSnapshotAt: (mode.kind === 'primary' ? mode.primary.lastSnapshotAt : undefined) ?? this.#lastSnapshotAt,
      divergences: this.#divergences,
      problem: this.#problem ?? this.#modeProblem(),
    };
  }

  /** For the process's end: ships what is committed, within the bound, and leaves everything else as it is. */
  async drain(timeoutMs: number): Promise<void> {
    const mode = this.#mode;
    if (mode.kind === 'primary') {
      const controller = new AbortController();
      const timer = this.#deps.env.clock.timer(timeoutMs, () => controller.abort(new DOMException('too late', 'AbortError')));
      await mode.primary.sync(controller.signal).catch(() => {});
      timer.cancel();
    } else if (mode.kind === 'replica' && this.#role === 'standby') {
      await mode.follower.stop();
      mode.file.flush();
    }
  }

  /** Idempotent. Ships everything first where this is the primary. */
  stop(): Promise<void> {
    this.#stopped.abort(sqliteErrors.create('SQLITE_STOPPED', { path: this.#deps.spec.path }));
    this.#stopping ??= this.#exclusive(async () => {
      try {
        if (this.#mode.kind === 'primary') await this.#endPrimary(this.#mode.primary, undefined);
      } catch (error) {
        this.#deps.env.log.warn('database_stop_incomplete', { reason: messageOf(error) });
      }
      await this.#close();
      this.#setRole('closed');
      this.#closed.resolve();
    });
    return this.#stopping;
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    const { spec, env, pid } = this.#deps;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
      accessSync(dirname(spec.path), constants.W_OK);
    } catch (error) {
      throw wrapFileError(error, spec.path);
    }
    const { clock } = env;
    const lock = { path: spec.path, directory: this.#directory, node: spec.node, pid, clock, signal };
    this.#lock = await DatabaseLock.acquire({ ...lock, timeoutMs: LOCK_WAIT_MS });
    readHeaderOf(spec.path);
    finishInterrupted(spec.path, this.#directory);
    this.#divergences = listDivergences(spec.path);
    const session = await this.#deps.connect();
    this.#session = session;
    const bucket = `${spec.platform}_${spec.app}_wal`;
    const { replicas } = spec.options;
    // A node that has replicated before must find its log: making an empty one would hide that it was lost.
    const known = readState(this.#statePath) !== undefined;
    const blobs = known
      ? await session.blobs(bucket)
      : await session.ensureBlobs(bucket, replicas === undefined ? {} : { replicas });
    const info = await blobs.bucketInfo({ signal });
    if (info.replicas < 3) this.#warn('LOG_NOT_REPLICATED', `bucket ${bucket} has ${info.replicas} copy of the log`);
    this.#log = new SegmentLog({ blobs, clock, log: env.log });
    this.#lastSnapshotAt = (await this.#log.snapshots({ signal })).at(-1)?.storedAt;
  }

  /** Becomes a standby, whatever lies on the disk. Nothing of this process has the file open. */
  async #settle(signal?: AbortSignal): Promise<void> {
    const { spec } = this.#deps;
    this.#mode = { kind: 'none' };
    const end = (await this.#log.end({ signal }))?.position;
    let local = await inspectFile(spec.path, this.#statePath, spec.node, this.#log, signal);
    if (local.kind === 'foreign' && end !== undefined && isEmptyDatabase(spec.path)) local = { kind: 'none' };
    const known = local.kind === 'replica' ? local.state.to : 'position' in local ? local.position : START;
    if (known.txid > (end?.txid ?? 0))
      throw sqliteErrors.create('SQLITE_LOG_BEHIND', { path: spec.path, position: known.txid, end: end?.txid ?? 0 });
    if (end === undefined) this.#enterLocal(START, undefined);
    else if (local.kind === 'none') await this.#rebuild(end, signal);
    else if (local.kind === 'replica') await this.#openReplica(local.state, end, signal);
    else if (local.kind === 'shipped') await this.#convert(local, end, signal);
    else if (local.kind === 'foreign') await this.#diverge(START, end, signal);
    else if (local.movedOn) await this.#diverge(local.position, end, signal);
    else this.#enterLocal(local.position, local.kind === 'ahead' ? local.cursor : undefined);
    this.#problem = undefined;
    this.#setRole('standby');
  }

  async #openReplica(state: StandbyState, end: Position, signal: AbortSignal | undefined): Promise<void> {
    let file: ReplicaFile;
    try {
      file = new ReplicaFile(this.#replicaOptions(), (header) => {
        const at = locateReplica(state, header, this.#boot);
        if (at === undefined) throw sqliteErrors.create('SQLITE_REPLICA_MODIFIED', { path: this.#deps.spec.path });
        return at;
      });
    } catch (error) {
      if (!hasCode(error, 'SQLITE_REPLICA_MODIFIED')) throw wrapFileError(error, this.#deps.spec.path);
      this.#warn('SQLITE_REPLICA_MODIFIED', error.message);
      return this.#diverge(state.to, end, signal);
    }
    const entry = await this.#log.entry(file.position.txid, { signal });
    if (entry === undefined || entry.epoch === file.position.epoch) return this.#follow(file, end);
    file.close();
    return this.#diverge(file.position, end, signal);
  }

  /** A former primary's file, all of which is in the log, becomes a standby's without copying. */
  async #convert(
    local: Extract<LocalFile, { kind: 'shipped' }>,
    end: Position,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (await switchToRollback(this.#modeOptions(signal), local.cursor)) this.#adopt(local.position, end);
    else await this.#diverge(local.position, end, signal);
  }

  /** Follows with a closed rollback-mode file that holds exactly what the log holds at `position`. */
  #adopt(position: Position, end: Position): void {
    const counter = readHeaderOf(this.#deps.spec.path)?.counter ?? 0;
    const at = { from: position, to: position, counterBefore: counter, counterAfter: counter };
    writeState(this.#statePath, { role: 'standby', ...at, durable: true, boot: this.#boot }, { flush: true });
    this.#follow(new ReplicaFile(this.#replicaOptions(), () => position), end);
  }

  async #diverge(fork: Position, end: Position, signal: AbortSignal | undefined): Promise<void> {
    const { spec, env } = this.#deps;
    const { path, node, options } = spec;
    const log = this.#log;
    const order = { path, directory: this.#directory, node, fork, log, env, signal, lockTimeoutMs: options.lockTimeoutMs };
    const kept = await keepDivergence(order);
    if (kept === undefined) return this.#adopt(fork, end);
    this.#divergences = [...this.#divergences, kept.directory];
    env.log.warn('divergence_kept', { directory: kept.directory, fork, rows: kept.rows });
    this.#deps.onEvent({ type: 'divergence_kept', directory: kept.directory, from: fork, rows: kept.rows });
    await this.#rebuild(end, signal);
  }

  async #rebuild(end: Position, signal: AbortSignal | undefined): Promise<void> {
    const { spec, env } = this.#deps;
    let toldAt = 0;
    const position = await bootstrap({
      path: spec.path,
      directory: this.#directory,
      statePath: this.#statePath,
      boot: this.#boot,
      log: this.#log,
      env,
      signal,
      onProgress: (doneBytes, totalBytes) => {
        if (env.clock.monotonic() - toldAt < 200 && doneBytes !== totalBytes) return;
        toldAt = env.clock.monotonic();
        this.#deps.onEvent({ type: 'bootstrap_progress', doneBytes, totalBytes });
      },
    });
    this.#follow(new ReplicaFile(this.#replicaOptions(), () => position), end);
  }

  #follow(file: ReplicaFile, end: Position): void {
    const { env, spec } = this.#deps;
    const deps = {
      file,
      log: this.#log,
      env,
      stallAfterMs: spec.options.stallAfterMs,
      onEvent: (event: DatabaseEvent) => this.#deps.onEvent(event),
      onChange: () => this.#statusChanged(),
    };
    const follower = new Follower(deps, end);
    this.#mode = { kind: 'replica', file, follower };
    void follower.start().then((error) => {
      if (error !== undefined) this.#again(follower, error);
    });
  }

  #enterLocal(position: Position, cursor: WalCursor | undefined): void {
    const controller = new AbortController();
    const { signal } = controller;
    const mode: Mode = { kind: 'local', position, cursor, stop: () => controller.abort() };
    this.#mode = mode;
    this.#position = position;
    const watch = async (): Promise<void> => {
      for await (const _ of this.#log.follow(position.txid, { signal })) return;
    };
    watch().then(
      // Somebody else continues the log: what our file has and the log has not is kept aside.
      () => signal.aborted || this.#again(mode, undefined),
      (error: Error) => signal.aborted || this.#again(mode, error),
    );
  }

  /** A standby that can't go on as it is begins anew from what is on the disk, until it follows or is stopped. */
  #again(of: Follower | Mode, error: Error | undefined): void {
    const current = (): boolean => this.#mode === of || (this.#mode.kind === 'replica' && this.#mode.follower === of);
    if (error !== undefined) {
      this.#problem = error.message;
      this.#warn(CanopyError.is(error) ? error.code : 'FOLLOWING_ENDED', error.message);
    }
    this.#inBackground(async () => {
      if (!current()) return;
      const { signal } = this.#stopped;
      await this.#leaveMode();
      if (hasCode(error, 'SQLITE_LOG_GAP', 'SQLITE_PAGE_SIZE_MISMATCH')) this.#forgetReplica();
      await this.#retrySettle(signal);
    });
  }

  /** The log can't bring this copy forward: it is made anew. What it holds is the log's own. */
  #forgetReplica(): void {
    const { path } = this.#deps.spec;
    if (readState(this.#statePath)?.role !== 'standby') return;
    removeDatabase(path);
  }

  #inBackground(work: () => Promise<void>): void {
    this.#exclusive(work).catch((reason) => {
      if (!this.#stopped.signal.aborted) this.#fail(reason as Error);
    });
  }

  async #retrySettle(signal: AbortSignal): Promise<void> {
    for (let told = ''; ; ) {
      try {
        return await this.#settle(signal);
      } catch (error) {
        signal.throwIfAborted();
        await this.#leaveMode();
        this.#problem = messageOf(error);
        if (told !== this.#problem) this.#warn(CanopyError.is(error) ? error.code : 'FOLLOWING_FAILED', this.#problem);
        told = this.#problem;
        await this.#deps.env.clock.sleep(RETRY_MS, { signal });
      }
    }
  }

  /** After a failed promotion: a standby again, or failed. */
  async #undo(): Promise<void> {
    try {
      await this.#leaveMode();
      await this.#settle(this.#stopped.signal);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Ships the rest and leaves a closed file: a standby's where all is shipped, else whatever the next look finds. */
  async #endPrimary(primary: Primary, onShipped: ((position: Position) => void) | undefined): Promise<void> {
    const shipped = await primary.finish(FINISH_MS);
    this.#position = primary.position;
    try {
      if (!primary.isFenced) onShipped?.(primary.position);
      const untouched = await primary.leave();
      await primary.close();
      if (!shipped || !untouched) return;
      const { position } = primary;
      const counter = readHeaderOf(this.#deps.spec.path)?.counter ?? 0;
      const at = { from: position, to: position, counterBefore: counter, counterAfter: counter };
      writeState(this.#statePath, { role: 'standby', ...at, durable: true, boot: this.#boot }, { flush: true });
    } finally {
      await primary.close();
      this.#mode = { kind: 'none' };
    }
  }

  async #leaveMode(): Promise<void> {
    const mode = this.#mode;
    this.#position = this.#at();
    this.#sizeBytes = this.#size();
    this.#mode = { kind: 'none' };
    if (mode.kind === 'local') mode.stop();
    if (mode.kind === 'primary') await mode.primary.close();
    if (mode.kind !== 'replica') return;
    await mode.follower.stop();
    mode.file.close();
  }

  async #close(): Promise<void> {
    const mode = this.#mode;
    if (mode.kind === 'replica') {
      await mode.follower.stop();
      try {
        mode.file.flush();
      } catch (error) {
        this.#deps.env.log.warn('standby_not_flushed', { reason: messageOf(error) });
      }
    }
    await this.#leaveMode();
    await this.#session?.close();
    this.#session = undefined;
    this.#lock?.release();
    this.#lock = undefined;
  }

  #replicaOptions() {
    const { spec, env } = this.#deps;
    const { busyTimeoutMs, lockTimeoutMs, flushStandby: flush } = spec.options;
    return { path: spec.path, statePath: this.#statePath, boot: this.#boot, env, busyTimeoutMs, lockTimeoutMs, flush };
  }

  #modeOptions(signal: AbortSignal | undefined): ModeOptions {
    const { spec, env } = this.#deps;
    const { busyTimeoutMs, lockTimeoutMs } = spec.options;
    return { path: spec.path, env, busyTimeoutMs, lockTimeoutMs, signal };
  }

  #at(): Position {
    const mode = this.#mode;
    if (mode.kind === 'replica') return mode.file.position;
    return mode.kind === 'primary' ? mode.primary.position : this.#position;
  }

  #size(): number | undefined {
    const mode = this.#mode;
    if (mode.kind === 'replica') return mode.file.sizeBytes;
    return mode.kind === 'primary' ? mode.primary.sizeBytes : this.#sizeBytes;
  }

  #lag(): DatabaseLag {
    const mode = this.#mode;
    const connected = this.#session?.status().connected === true;
    if (mode.kind === 'primary') return { tx: 0, ms: 0, bytes: 0 };
    if (!connected || mode.kind === 'none') return { tx: undefined, ms: undefined, bytes: undefined };
    return mode.kind === 'replica' ? mode.follower.lag() : { tx: 0, ms: 0, bytes: 0 };
  }

  #modeProblem(): string | undefined {
    const mode = this.#mode;
    if (mode.kind === 'replica') return mode.follower.problem;
    return mode.kind === 'primary' ? mode.primary.problem : undefined;
  }

  #setRole(role: DatabaseRole): void {
    this.#role = role;
    this.#deps.onEvent({ type: 'role_changed', role, position: this.#at() });
  }

  #fail(error: Error): void {
    this.#problem = error.message;
    this.#setRole('failed');
    this.#deps.onEvent({ type: 'failed', error });
  }

  #warn(code: string, message: string): void {
    this.#deps.env.log.warn('database_warning', { code, message });
    this.#deps.onEvent({ type: 'warning', code, message });
  }

  #statusChanged(): void {
    this.#deps.onStatus();
  }

  #wrongRole(): Error {
    return sqliteErrors.create('SQLITE_NOT_PRIMARY', { path: this.#deps.spec.path, role: this.#role });
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
