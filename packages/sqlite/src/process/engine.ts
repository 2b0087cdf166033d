/**
 * The database on this node, in one of its roles: a standby that follows the log, a standby whose own file begins or is
 * ahead of the log and waits for its promotion, or the primary. Changes of role run one after the other. Invariants:
 * one process per file (the lock); the state file is written before the file changes its nature; a file that holds
 * commits which the log does not have is kept, here or aside, never overwritten.
 */
import { join } from 'node:path';
import {
  type AdminRequest,
  type DatabaseEvent,
  type DatabaseRole,
  type DatabaseStatus,
  type Epoch,
  messageOf,
  type Position,
  START,
  type SyncOptions,
} from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { AppliedWait, syncDurably, waitApplied } from '../applied/index.ts';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { Primary } from '../primary/primary.ts';
import type { Follower } from '../standby/follower.ts';
import type { ReplicaFile } from '../standby/replica-file.ts';
import type { WalCursor } from '../wal/reader.ts';
import type { DatabaseLock } from './database-lock.ts';
import { endPrimary, leaveAfter } from './demotion.ts';
import { requireVersion } from './file-mode.ts';
import { followWith } from './following.ts';
import { closeMode, drainMode, flushMode, type Mode, positionOf, sizeOf, waitLocal } from './mode.ts';
import { type OpeningDeps, openDatabase } from './opening.ts';
import { hearAbort, promoteLocal, promoteReplica } from './promotion.ts';
import { codeOf, describeDatabase, hintOf, notReady, wrongRole } from './report.ts';
import { type Rebuild, rebuildFor, Settlement, type SettlementDeps, untilSettled } from './settlement.ts';
import { bootId } from './state-file.ts';
import { Turns } from './turns.ts';
import { unshippedAfter } from './unshipped.ts';
import { Upkeep } from './upkeep.ts';

/** How long a promotion that failed waits for the file to follow again before it says so. */
const RESETTLE_MS = 2000;
/** Within these a call may wait for its turn: what they do is bounded. */
const MOVING: readonly DatabaseRole[] = ['promoting', 'demoting'];

export interface EngineDeps extends Omit<OpeningDeps, 'directory' | 'statePath'> {
  onEvent(event: DatabaseEvent): void;
  onStatus(): void;
  /** Default 30 s. */
  readonly refusedMs?: number;
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
  /** Set until a copy that follows is there. */
  #needed: Rebuild | undefined;
  #lock: DatabaseLock | undefined;
  #upkeep: Upkeep | undefined;
  #session: NatsSession | undefined;
  #log!: SegmentLog;
  #appliedWait: AppliedWait | undefined;
  readonly #turns = new Turns();
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
    return this.#turns.take(async () => {
      this.#setRole('opening');
      const signal = AbortSignal.any([this.#stopped.signal, ...(options.signal ? [options.signal] : [])]);
      try {
        requireVersion();
        await this.#open(signal);
        await this.#settle(signal);
      } catch (error) {
        // The next snapshot ends it: the node stays, and says that it is not ready.
        if (rebuildFor(error) !== undefined && !signal.aborted) return void this.#resettle(error as Error);
        await this.#close();
        this.#problem = messageOf(error);
        this.#setRole('failed');
        throw error;
      }
    });
  }

  /**
   * Throws SQLITE_NOT_READY at once while the database is not a standby that follows: another node is better then.
   * A promotion that is done when its signal has aborted is undone.
   */
  async promote(options: { epoch: Epoch; signal: AbortSignal }): Promise<Position> {
    if (this.#role !== 'standby' && !MOVING.includes(this.#role)) throw notReady(this.status());
    let settled: Promise<void> = Promise.resolve();
    try {
      return await this.#turns.take(async () => {
        if (this.#role !== 'standby') throw notReady(this.status());
        try {
          return await this.#promote(options);
        } catch (error) {
          settled = this.#resettle(error as Error);
          throw error;
        }
      });
    } catch (error) {
      await Promise.race([settled, this.#deps.env.clock.sleep(RESETTLE_MS)]);
      throw error;
    }
  }

  async #promote(options: { epoch: Epoch; signal: AbortSignal }): Promise<Position> {
    const mode = this.#mode;
    if (mode.kind !== 'replica' && mode.kind !== 'local') throw notReady(this.status());
    this.#setRole('promoting');
    const signal = AbortSignal.any([options.signal, this.#stopped.signal]);
    const context = {
      ...this.#deps,
      ...this.#settlementDeps(),
      ...(this.#session && { isConnected: () => this.#session?.status().connected !== false }),
      onEvent: (event: DatabaseEvent) => this.#primaryEvent(event),
      onChange: () => this.#deps.onStatus(),
    };
    const primary = await (mode.kind === 'replica'
      ? promoteReplica(context, mode, options.epoch, signal)
      : promoteLocal(context, mode, options.epoch, signal));
    this.#mode = { kind: 'primary', primary };
    try {
      await hearAbort(this.#deps.env, signal);
    } catch (error) {
      await this.#endPrimary(primary, undefined);
      throw error;
    }
    this.#problem = undefined;
    this.#setRole('primary');
    return primary.position;
  }

  /** To be called in the turn that failed: the work itself comes after it. */
  #resettle(error: Error): Promise<void> {
    this.#needed = rebuildFor(error) ?? this.#needed;
    this.#deps.env.log.warn('database_not_ready', { reason: error.message });
    this.#problem = error.message;
    this.#setRole('opening');
    return this.#inBackground(async () => {
      await this.#leaveMode();
      await this.#retrySettle(this.#stopped.signal);
    });
  }

  async demote(options: { onShipped?: (position: Position) => void } = {}): Promise<void> {
    if (this.#role !== 'primary' && !MOVING.includes(this.#role)) throw wrongRole(this.#deps.spec.path, this.#role);
    await this.#turns.take(async () => {
      if (this.#mode.kind !== 'primary') throw wrongRole(this.#deps.spec.path, this.#role);
      this.#setRole('demoting');
      try {
        await this.#endPrimary(this.#mode.primary, options.onShipped);
        await this.#settle(this.#stopped.signal);
      } catch (error) {
        // Nothing is lost: the file stays as it is, and becomes a standby's as soon as it can.
        void this.#resettle(error as Error);
        throw error;
      }
    });
  }

  /** Passes on what the primary says. Where it can't go on, somebody must demote it: at last we do. */
  #primaryEvent(event: DatabaseEvent): void {
    this.#deps.onEvent(event);
    if (event.type !== 'fenced' && event.type !== 'failed') return;
    const leave = async (): Promise<void> => {
      if (this.#mode.kind !== 'primary' || !this.#mode.primary.hasEnded || this.#role !== 'primary') return;
      this.#warn('PRIMARY_LEFT', 'the log has refused this primary and nobody has demoted it');
      await this.demote();
    };
    leaveAfter(this.#deps.env, this.#deps.refusedMs, this.#stopped.signal, leave);
  }

  sync(options: SyncOptions = {}): Promise<Position> {
    if (this.#mode.kind !== 'primary') return Promise.reject(wrongRole(this.#deps.spec.path, this.#role));
    return syncDurably(this.#mode.primary, this.#appliedWait, options);
  }

  waitFor(position: Position, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const deps = {
      now: () => ({ mode: this.#mode, position: this.#at() }),
      log: this.#log,
      clock: this.#deps.env.clock,
    };
    return waitApplied(deps, position, [options.signal, this.#stopped.signal]);
  }

  status(): DatabaseStatus {
    return describeDatabase({
      role: this.#role,
      mode: this.#mode,
      path: this.#deps.spec.path,
      connected: this.#lock !== undefined && this.#session?.status().connected !== false,
      position: this.#position,
      sizeBytes: this.#sizeBytes,
      lastSnapshotAt: this.#lastSnapshotAt,
      divergences: this.#divergences,
      problem: this.#problem,
      upkeep: this.#upkeep,
    });
  }

  /** See admin.ts. Throws SQLITE_NOT_READY before the log is open. */
  async admin(request: AdminRequest, options: { signal: AbortSignal }): Promise<unknown> {
    if (this.#upkeep === undefined) throw notReady(this.status());
    return this.#upkeep.admin(request, options.signal);
  }

  /** For the process's end: ships what is committed, within the bound, and leaves everything else as it is. */
  async drain(timeoutMs: number): Promise<void> {
    // In the middle of a promotion the state may name a primary already.
    if (this.#mode.kind === 'primary' || this.#role === 'standby')
      await drainMode(this.#mode, this.#deps.env, timeoutMs);
  }

  /** Idempotent. Ships everything first where this is the primary; what could not be is the status's problem. */
  stop(): Promise<void> {
    this.#stopped.abort(sqliteErrors.create('SQLITE_STOPPED', { path: this.#deps.spec.path }));
    this.#stopping ??= this.#turns.take(async () => {
      try {
        const shipped = this.#mode.kind !== 'primary' || (await this.#endPrimary(this.#mode.primary, undefined));
        if (!shipped) this.#problem = unshippedAfter(this.#position);
        // At once: what follows may take longer than the caller waits.
        this.#deps.onStatus();
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
    const deps = { ...this.#deps, statePath: this.#statePath, directory: this.#directory };
    const opened = await openDatabase(deps, signal);
    this.#lock = opened.lock;
    const { session, log } = opened;
    [this.#session, this.#log] = [session, log];
    this.#appliedWait = session && new AppliedWait({ ...this.#deps, bus: session.bus, log });
    this.#divergences = opened.divergences;
    this.#lastSnapshotAt = opened.lastSnapshotAt;
    const forgetDivergence = (kept: string): void => {
      this.#divergences = this.#divergences.filter((one) => one !== kept);
    };
    const seen = { mode: () => this.#mode, forgetDivergence };
    this.#upkeep = new Upkeep({ ...this.#deps, directory: this.#directory, ...seen }, opened);
  }

  /** Becomes a standby, whatever lies on the disk. Nothing of this process has the file open. */
  async #settle(signal?: AbortSignal): Promise<void> {
    this.#mode = { kind: 'none' };
    if (this.#role !== 'opening') this.#setRole('opening');
    const settled = await new Settlement(this.#settlementDeps(), signal).settle(this.#needed);
    if (settled.kind === 'replica') this.#follow(settled.file, settled.end);
    else this.#enterLocal(settled.position, settled.cursor);
    this.#needed = undefined;
    this.#problem = undefined;
    this.#setRole('standby');
  }

  #follow(file: ReplicaFile, end: Position): void {
    const deps = { ...this.#deps, ...this.#settlementDeps(), session: this.#session };
    const follower = followWith(deps, file, end);
    this.#mode = { kind: 'replica', file, follower };
    void follower.start().then((error) => {
      if (error !== undefined) this.#again(follower, error);
    });
  }

  #enterLocal(position: Position, cursor: WalCursor | undefined): void {
    const { mode, ended } = waitLocal(this.#log, position, cursor);
    this.#mode = mode;
    this.#position = position;
    ended.then((end) => end === 'stopped' || this.#again(mode, end === 'moved' ? undefined : end));
  }

  /** A standby that can't go on as it is begins anew from what is on the disk, until it follows or is stopped. */
  #again(of: Follower | Mode, error: Error | undefined): void {
    const current = (): boolean => this.#mode === of || (this.#mode.kind === 'replica' && this.#mode.follower === of);
    if (error !== undefined) this.#warn(codeOf(error, 'FOLLOWING_ENDED'), error.message, hintOf(error));
    // A promotion that is under way fails of the same and begins anew itself.
    if (this.#role !== 'standby' || !current()) return;
    this.#problem = error?.message ?? 'the log went on under another epoch';
    this.#setRole('opening');
    void this.#inBackground(async () => {
      if (!current()) return;
      this.#needed = rebuildFor(error) ?? this.#needed;
      await this.#leaveMode();
      await this.#retrySettle(this.#stopped.signal);
    });
  }

  async #inBackground(work: () => Promise<void>): Promise<void> {
    try {
      await this.#turns.take(work);
    } catch (reason) {
      if (this.#stopped.signal.aborted) return;
      this.#problem = messageOf(reason);
      this.#setRole('failed');
      this.#deps.onEvent({ type: 'failed', error: reason as Error });
    }
  }

  /** Nobody waits for it but stop(), which ends it: meanwhile calls are refused by the role. */
  #retrySettle(signal: AbortSignal): Promise<void> {
    return untilSettled(this.#deps.env, signal, {
      settle: () => this.#settle(signal),
      failed: async (error, isNews) => {
        await this.#leaveMode();
        this.#problem = messageOf(error);
        this.#deps.onStatus();
        if (isNews) this.#warn(codeOf(error, 'FOLLOWING_FAILED'), this.#problem, hintOf(error));
      },
    });
  }

  /** Leaves a closed file: a standby's where all is shipped, else whatever the next look finds. */
  async #endPrimary(primary: Primary, onShipped: ((position: Position) => void) | undefined): Promise<boolean> {
    try {
      return await endPrimary(primary, this.#settlementDeps(), onShipped);
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
    await closeMode(mode);
  }

  async #close(): Promise<void> {
    await flushMode(this.#mode, this.#deps.env);
    await this.#leaveMode();
    await this.#upkeep?.end();
    this.#upkeep = undefined;
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
      onWarning: (warning) => this.#upkeep?.tell(warning),
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

  #warn(code: string, message: string, hint?: string): void {
    this.#deps.onEvent({ type: 'warning', code, message, hint });
  }
}
