/**
 * From whatever lies on the disk to a standby: the file follows as it is where that can be proved, is converted in place
 * where it was a primary's and all of it is in the log, waits untouched where it begins or is ahead of the log, and is
 * rebuilt from the log otherwise, after everything in it that the log has not was kept aside.
 */
import {
  backoffMs,
  type DatabaseEvent,
  type DatabaseWarning,
  type Env,
  formatPosition,
  hasCode,
  messageOf,
  type Position,
  START,
} from '@canopy/core';
import { keepDivergence } from '../divergence/keep.ts';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { planRestore } from '../restore/plan.ts';
import type { RestoreProgress } from '../restore/restore.ts';
import { bootstrap, putBack } from '../standby/bootstrap.ts';
import { planBridge } from '../standby/bridge.ts';
import { ReplicaFile, type ReplicaFileOptions } from '../standby/replica-file.ts';
import { isUnflushed, locateReplica } from '../standby/replica-state.ts';
import type { WalCursor } from '../wal/reader.ts';
import { goneOnWith } from './continuation.ts';
import { switchToRollback } from './file-mode.ts';
import { inodeOf, inspectFile, type LocalFile, readHeaderOf } from './local-file.ts';
import { knownLog, recognizeLog } from './log-identity.ts';
import { isEmptyDatabase } from './promotion.ts';
import type { DatabaseSpec } from './protocol.ts';
import { readState, type StandbyState, writeState } from './state-file.ts';
import { wrapFileError } from './system-errors.ts';

/** Progress is told at most this often. */
const PROGRESS_MS = 200;
const RETRY = { initialMs: 1000, maxMs: 10_000 };

export interface SettlementDeps {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly log: SegmentLog;
  readonly directory: string;
  readonly statePath: string;
  readonly boot: string;
  onEvent(event: DatabaseEvent): void;
  /** What the status is to say as well. */
  onWarning?(warning: DatabaseWarning): void;
}

export type Settled =
  /** An open file that can follow from its position; `end` is the log's end as seen. */
  | { readonly kind: 'replica'; readonly file: ReplicaFile; readonly end: Position }
  /** Our own file is the truth behind `position`. Without a cursor only all of it can continue the log. */
  | { readonly kind: 'local'; readonly position: Position; readonly cursor: WalCursor | undefined };

/** The log can't bring the copy here forward as it is. */
export interface Rebuild {
  readonly reason: Error;
  /** The transaction that can't be read: only a full image beyond it helps. */
  readonly damaged: number | undefined;
}

const REBUILD = ['SQLITE_LOG_GAP', 'SQLITE_PAGE_SIZE_MISMATCH', 'SQLITE_LOG_DAMAGED'] as const;

/** Undefined for errors after which the copy may be gone on with. */
export function rebuildFor(reason: unknown): Rebuild | undefined {
  if (!hasCode(reason, ...REBUILD)) return undefined;
  return { reason, damaged: hasCode(reason, 'SQLITE_LOG_DAMAGED') ? Number(reason.fields.txid) : undefined };
}

export class Settlement {
  readonly #deps: SettlementDeps;
  readonly #signal: AbortSignal | undefined;

  constructor(deps: SettlementDeps, signal: AbortSignal | undefined) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /**
   * Nobody in this process may have the file open. Throws SQLITE_FOREIGN_FILE for a file of another log, SQLITE_LOG_BEHIND, SQLITE_NOT_A_DATABASE, SQLITE_DISK_FULL,
   * SQLITE_DATABASE_BUSY while another program has a file open that must change, and what reading the log throws. With
   * `needed` a standby's copy is not taken as it is but made anew; until that has succeeded it stays.
   */
  async settle(needed?: Rebuild): Promise<Settled> {
    const { spec, statePath, log, directory } = this.#deps;
    const signal = this.#signal;
    putBack(spec.path, directory, statePath);
    const tail = await log.end({ signal });
    const end = tail?.position;
    const isOther = await recognizeLog({ path: spec.path, statePath, log }, tail?.entry, signal);
    const local = await inspectFile(spec.path, statePath, log, this.#deps.boot, signal);
    const known = isOther ? START : this.#knownOf(local);
    if (known.txid > (end?.txid ?? 0))
      throw sqliteErrors.create('SQLITE_LOG_BEHIND', { path: spec.path, position: known.txid, end: end?.txid ?? 0 });
    if (end === undefined) return { kind: 'local', position: START, cursor: undefined };
    if (local.kind === 'none') return this.#rebuild(end);
    if (local.kind === 'replica') return this.#openReplica(local.state, end, needed);
    if (local.kind === 'shipped') return this.#shipped(local, end);
    if (local.kind === 'foreign') return isEmptyDatabase(spec.path) ? this.#rebuild(end) : this.#diverge(START, end);
    if (local.movedOn) return this.#diverge(local.position, end);
    // Gone on with, it might take back what the log has acknowledged: also where nobody manages the programs that use it.
    if (local.kind === 'unproven' && local.mayHaveLost === true) {
      if (local.continuation === 'behind') this.#tellBehind(end);
      return this.#diverge(local.position, end, true);
    }
    if (local.kind === 'unproven' && local.continuation !== 'has') await this.#tellUnproven(local.position);
    return { kind: 'local', position: local.position, cursor: local.kind === 'ahead' ? local.cursor : undefined };
  }

  #tellBehind(end: Position): void {
    const { path } = this.#deps.spec;
    const message = `${path} does not have all that the log has up to ${formatPosition(end)}, and nobody has written to it since: its -wal file was removed or cut, or an older file was put in its place; it is brought to the log's end, and what it has besides is kept aside`;
    this.#deps.onEvent({ type: 'warning', code: 'FILE_BEHIND_LOG', message });
  }

  /** Told again by the status for as long as this process lives. */
  async #tellUnproven(at: Position): Promise<void> {
    const { spec, log } = this.#deps;
    const warning = await goneOnWith(spec, log, at, this.#signal);
    this.#deps.onWarning?.(warning);
    this.#deps.onEvent({ type: 'warning', code: warning.code, message: `${warning.message}. ${warning.hint}` });
  }

  /** What the log must have, because it was stored there: also where the file is gone. */
  #knownOf(local: LocalFile): Position {
    const { spec, statePath } = this.#deps;
    const state = readState(statePath);
    if (local.kind === 'replica') return local.state.to;
    if (local.kind === 'none' && state?.role === 'standby') return state.to;
    const known = 'position' in local ? local.position : START;
    if (state?.role !== 'primary' || state.stored !== true) return known;
    // With another inode it is not the file that the state speaks of.
    if (local.kind !== 'none' && inodeOf(spec.path) !== state.inode) return known;
    return known.txid > state.claimed.txid ? known : state.claimed;
  }

  async #openReplica(state: StandbyState, end: Position, needed: Rebuild | undefined): Promise<Settled> {
    const { spec, boot, log } = this.#deps;
    if (isUnflushed(state, boot)) {
      const message = `${spec.path} was not flushed when the machine went down: it is made anew from the log`;
      this.#deps.onEvent({ type: 'warning', code: 'COPY_NOT_FLUSHED', message });
      return this.#renew(end, needed);
    }
    let file: ReplicaFile;
    try {
      file = new ReplicaFile(this.#fileOptions(), (header) => {
        const at = locateReplica(state, header, boot);
        if (at === undefined) throw sqliteErrors.create('SQLITE_REPLICA_MODIFIED', { path: spec.path });
        return at;
      });
    } catch (error) {
      if (!hasCode(error, 'SQLITE_REPLICA_MODIFIED')) throw wrapFileError(error, spec.path);
      this.#deps.onEvent({ type: 'warning', code: error.code, message: error.message });
      return this.#diverge(state.to, end);
    }
    const at = file.position;
    let entry: LogEntry | undefined;
    try {
      entry = await log.entry(at.txid, { signal: this.#signal });
    } catch (error) {
      file.close();
      throw error;
    }
    if (
      needed === undefined &&
      (entry?.epoch === at.epoch || (entry === undefined && (await this.#isBridged(file, at))))
    )
      return { kind: 'replica', file, end };
    file.close();
    // Trimmed away: what follows may not carry on from here. It is the log's own, unless the log was begun anew.
    const isLogs = entry === undefined ? end.epoch >= at.epoch : entry.epoch === at.epoch;
    return isLogs ? this.#renew(end, needed) : this.#diverge(at, end);
  }

  #shipped(local: Extract<LocalFile, { kind: 'shipped' }>, end: Position): Promise<Settled> {
    const { position, cursor } = local;
    // Others may be using it: it goes on where it was, without a change of mode.
    if (this.#deps.spec.unmanaged && cursor !== undefined && end.txid === position.txid)
      return Promise.resolve({ kind: 'local', position, cursor });
    return this.#convert(local, end);
  }

  /** The entry at the file's position was trimmed, but the file is of this log and something reaches over the gap. */
  async #isBridged(file: ReplicaFile, at: Position): Promise<boolean> {
    try {
      return planBridge(await this.#deps.log.all({ signal: this.#signal }), at) !== undefined;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** A former primary's file, all of which is in the log, becomes a standby's without copying. */
  async #convert(local: Extract<LocalFile, { kind: 'shipped' }>, end: Position): Promise<Settled> {
    const { spec, env } = this.#deps;
    const { busyTimeoutMs, lockTimeoutMs } = spec.options;
    const options = { path: spec.path, env, busyTimeoutMs, lockTimeoutMs, signal: this.#signal };
    if (await switchToRollback(options, local.cursor)) return this.#adopt(local.position, end);
    return this.#diverge(local.position, end);
  }

  /** Follows with a closed rollback-mode file that holds exactly what the log holds at `position`. */
  #adopt(position: Position, end: Position): Settled {
    writeStandbyState(this.#deps, position);
    return { kind: 'replica', file: new ReplicaFile(this.#fileOptions(), () => position), end };
  }

  /** Without anybody who answers for the file it is not moved; only Litestream may have gone on with it in the log. */
  async #diverge(
    fork: Position,
    end: Position,
    mayMove: boolean = this.#deps.spec.unmanaged !== true,
  ): Promise<Settled> {
    const { spec, env, log, directory } = this.#deps;
    const { path, node, options } = spec;
    const { lockTimeoutMs } = options;
    const found = { path, directory, node, fork, log, env, lockTimeoutMs, signal: this.#signal };
    const refused = !mayMove && Number(end.epoch) > 0;
    const kept = refused ? undefined : await keepDivergence({ ...found, refuse: !mayMove });
    if (kept === undefined)
      throw sqliteErrors.create('SQLITE_FOREIGN_FILE', { path, bucket: log.bucket, fork: fork.txid, end: end.txid });
    if ('same' in kept) return this.#adopt(kept.same, end);
    env.log.warn('divergence_kept', { directory: kept.directory, fork, rows: kept.rows });
    this.#deps.onEvent({ type: 'divergence_kept', directory: kept.directory, from: fork, rows: kept.rows });
    return this.#rebuild(end);
  }

  /** Asks first whether the log has what a new copy needs: a look every second must not fetch it all to fail. */
  async #renew(end: Position, needed: Rebuild | undefined): Promise<Settled> {
    const { log } = this.#deps;
    const plan = planRestore(log.bucket, await log.all({ signal: this.#signal }));
    if (needed?.damaged !== undefined && plan.some((entry) => entry.level === 0 && entry.maxTxid === needed.damaged))
      throw needed.reason;
    return this.#rebuild(end);
  }

  async #rebuild(end: Position): Promise<Settled> {
    const { spec, env, onEvent } = this.#deps;
    let toldAt = 0;
    const onProgress = (progress: RestoreProgress): void => {
      if (env.clock.monotonic() - toldAt < PROGRESS_MS && progress.doneBytes !== progress.totalBytes) return;
      toldAt = env.clock.monotonic();
      onEvent({ type: 'bootstrap_progress', ...progress });
    };
    const position = await bootstrap({ ...this.#deps, path: spec.path, signal: this.#signal, onProgress });
    return { kind: 'replica', file: new ReplicaFile(this.#fileOptions(), () => position), end };
  }

  #fileOptions(): ReplicaFileOptions {
    const { spec, env, statePath, boot, log } = this.#deps;
    const { busyTimeoutMs, lockTimeoutMs, flushStandby: flush } = spec.options;
    const known = () => knownLog(log).log;
    return { path: spec.path, statePath, boot, env, busyTimeoutMs, lockTimeoutMs, flush, log: known };
  }
}

/** Tries until it succeeds, or the signal aborts; throws SQLITE_FOREIGN_FILE. `failed` hears of each failure, and whether it is another than the last. */
export async function untilSettled(
  env: Env,
  signal: AbortSignal,
  attempts: { settle(): Promise<void>; failed(error: unknown, isNews: boolean): Promise<void> },
): Promise<void> {
  let told = '';
  for (let attempt = 0; ; attempt++) {
    try {
      return await attempts.settle();
    } catch (error) {
      signal.throwIfAborted();
      // Nobody manages the file, so nobody moves it: that does not pass by itself.
      if (hasCode(error, 'SQLITE_FOREIGN_FILE')) throw error;
      const reason = messageOf(error);
      await attempts.failed(error, told !== reason);
      told = reason;
      await env.clock.sleep(backoffMs(attempt, RETRY, env.random), { signal });
    }
  }
}

/** Notes that the closed rollback-mode file, flushed by SQLite, is a standby's at `position`. */
export function writeStandbyState(
  deps: Pick<SettlementDeps, 'spec' | 'statePath' | 'boot' | 'log'>,
  position: Position,
): void {
  const counter = readHeaderOf(deps.spec.path)?.counter ?? 0;
  const at = { from: position, to: position, counterBefore: counter, counterAfter: counter, ...knownLog(deps.log) };
  writeState(deps.statePath, { role: 'standby', ...at, durable: true, boot: deps.boot }, { flush: true });
}
