/**
 * The database on this node, in one of its roles: a standby that follows the log, a standby whose own file begins or is
 * ahead of the log and waits for its promotion, or the primary. Changes of role run one after the other. Invariants:
 * one process per file (the lock); the state file is written before the file changes its nature; a file that holds
 * commits which the log does not have is kept, here or aside, never overwritten.
 */
import { join } from 'node:path';
import {
  CanopyError,
  type DatabaseEvent,
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
import { finishInterrupted, listDivergences } from '../divergence/keep.ts';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { Primary } from '../primary/primary.ts';
import { Follower } from '../standby/follower.ts';
import type { ReplicaFile } from '../standby/replica-file.ts';
import type { WalCursor } from '../wal/reader.ts';
import { DatabaseLock } from './database-lock.ts';
import { endPrimary } from './demotion.ts';
import { requireVersion } from './file-mode.ts';
import { readHeaderOf } from './local-file.ts';
import { lagOf, logEndOf, type Mode, positionOf, problemOf, sizeOf } from './mode.ts';
import { openLog, prepareDirectory } from './opening.ts';
import { promoteLocal, promoteReplica } from './promotion.ts';
import type { DatabaseSpec } from './protocol.ts';
import { forgetReplica, Settlement, type SettlementDeps } from './settlement.ts';
import { bootId, readState } from './state-file.ts';

/** How long a predecessor that is just ending may keep the lock. */
const LOCK_WAIT_MS = 5000;
const RETRY_MS = 1000;

export interface EngineDeps {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly pid: number;
  connect(): Promise<NatsSession>;
  onEvent(event: DatabaseEvent): void;
  onStatus(): void;
}

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
        const signal = AbortSignal.any([this.#stopped.signal, ...(options.signal ? [options.signal] : [])]);
        await this.#open(signal);
        await this.#settle(signal);
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
      const signal = AbortSignal.any([options.signal, this.#stopped.signal]);
      const context = {
        ...this.#deps,
        log: this.#log,
        statePath: this.#statePath,
        onChange: () => this.#deps.onStatus(),
      };
      try {
        const primary = await (mode.kind === 'replica'
          ? promoteReplica(context, mode, options.epoch, signal)
          : promoteLocal(context, mode, options.epoch, signal));
        this.#mode = { kind: 'primary', primary };
        this.#problem = undefined;
        this.#setRole('primary');
        return primary.position;
      } catch (error) {
        await this.#leaveMode();
        await this.#settle(this.#stopped.signal).catch((reason: Error) => this.#fail(reason));
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
        await this.#settle(this.#stopped.signal);
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
    const connected = this.#session?.status().connected === true;
    return {
      role: this.#role,
      path: this.#deps.spec.path,
      position: this.#at(),
      logEnd: logEndOf(mode),
      lag: lagOf(mode, connected),
      sizeBytes: sizeOf(mode) ?? this.#sizeBytes,
      lastSnapshotAt: (mode.kind === 'primary' ? mode.primary.lastSnapshotAt : undefined) ?? this.#lastSnapshotAt,
      divergences: this.#divergences,
      problem: this.#problem ?? problemOf(mode),
    };
  }

  /** For the process's end: ships what is committed, within the bound, and leaves everything else as it is. */
  async drain(timeoutMs: number): Promise<void> {
    const mode = this.#mode;
    if (mode.kind === 'primary') {
      const controller = new AbortController();
      const timer = this.#deps.env.clock.timer(timeoutMs, () =>
        controller.abort(new DOMException('too late', 'AbortError')),
      );
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
    prepareDirectory(spec.path, this.#directory);
    const lock = { path: spec.path, directory: this.#directory, node: spec.node, pid, clock: env.clock, signal };
    this.#lock = await DatabaseLock.acquire({ ...lock, timeoutMs: LOCK_WAIT_MS });
    readHeaderOf(spec.path);
    finishInterrupted(spec.path, this.#directory);
    this.#divergences = listDivergences(spec.path);
    this.#session = await this.#deps.connect();
    // A node that has replicated before must find its log: making an empty one would hide that it was lost.
    const mayMake = readState(this.#statePath) === undefined;
    const { log, warning } = await openLog(this.#session, spec, env, mayMake, signal);
    if (warning !== undefined) this.#warn('LOG_NOT_REPLICATED', warning);
    this.#log = log;
    this.#lastSnapshotAt = (await log.snapshots({ signal })).at(-1)?.storedAt;
  }

  /** Becomes a standby, whatever lies on the disk. Nothing of this process has the file open. */
  async #settle(signal?: AbortSignal): Promise<void> {
    this.#mode = { kind: 'none' };
    const settled = await new Settlement(this.#settlementDeps(), signal).settle();
    if (settled.kind === 'replica') this.#follow(settled.file, settled.end);
    else this.#enterLocal(settled.position, settled.cursor);
    this.#problem = undefined;
    this.#setRole('standby');
  }

  #follow(file: ReplicaFile, end: Position): void {
    const { env, spec } = this.#deps;
    const deps = {
      file,
      log: this.#log,
      env,
      stallAfterMs: spec.options.stallAfterMs,
      onEvent: (event: DatabaseEvent) => this.#deps.onEvent(event),
      onChange: () => this.#deps.onStatus(),
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
      if (hasCode(error, 'SQLITE_LOG_GAP', 'SQLITE_PAGE_SIZE_MISMATCH')) forgetReplica(this.#settlementDeps());
      await this.#retrySettle(signal);
    });
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

  /** Leaves a closed file: a standby's where all is shipped, else whatever the next look finds. */
  async #endPrimary(primary: Primary, onShipped: ((position: Position) => void) | undefined): Promise<void> {
    try {
      await endPrimary(primary, this.#settlementDeps(), onShipped);
    } finally {
      this.#position = primary.position;
      this.#mode = { kind: 'none' };
    }
  }

  async #leaveMode(): Promise<void> {
    const mode = this.#mode;
    this.#position = this.#at();
    this.#sizeBytes = sizeOf(this.#mode) ?? this.#sizeBytes;
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

  #settlementDeps(): SettlementDeps {
    return {
      spec: this.#deps.spec,
      env: this.#deps.env,
      log: this.#log,
      directory: this.#directory,
      statePath: this.#statePath,
      boot: this.#boot,
      onEvent: (event) => {
        if (event.type === 'divergence_kept') this.#divergences = [...this.#divergences, event.directory];
        this.#deps.onEvent(event);
      },
    };
  }

  #at(): Position {
    return positionOf(this.#mode) ?? this.#position;
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

  #wrongRole(): Error {
    return sqliteErrors.create('SQLITE_NOT_PRIMARY', { path: this.#deps.spec.path, role: this.#role });
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
