/**
 * `sqlite(path)`: the database that a user hands to an app, and the thin Promotable behind it. All work on the file is
 * done by a process of its own (or one that several databases share), so that the application's event loop is never blocked
 * and no stray close() in this process can drop SQLite's locks. When that process dies it is reported (`failed`) and started again as a standby.
 */
import {
  type AdminRequest,
  type BootstrapProgress,
  Broadcast,
  backoffMs,
  type CanopyError,
  type DatabaseContext,
  type DatabaseEvent,
  type DatabaseLag,
  type DatabaseProvider,
  type DatabaseStatus,
  type Epoch,
  hasCode,
  type Position,
  type Promotable,
  type PromoteOptions,
  START,
  type SyncOptions,
  type Timer,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { DatabaseSpec } from '../process/protocol.ts';
import { unknownAfter, unshippedAfter } from '../process/unshipped.ts';
import { restoreInChild } from '../restore/child.ts';
import { type RestoreReport, readRestoreOrder } from '../restore/request.ts';
import { requireCallOptions, requirePosition } from './call-checks.ts';
import { DatabaseChild } from './child.ts';
import { resolveSqliteOptions, type SqliteOptions } from './options.ts';
import { realDatabasePath } from './real-path.ts';

/** Once a call was taken back, how long its answer is still awaited where nothing depends on it. */
const ANSWER_MS = 500;
/** Grace of stop(): shipping the last commits and leaving the file in order. */
const STOP_GRACE_MS = 5000;
const UNKNOWN: DatabaseLag = { tx: undefined, ms: undefined, bytes: undefined };
/** For the start of which somebody thinks no more: what hangs, hangs for as long as NATS may take. */
const ABORT_MS = 300;
const RESTART = { initialMs: 200, maxMs: 5000 };
/** Restarts in a row, each within this long after the last, before it stays `failed`. */
const RESTARTS_MAX = 3;
const RESTART_WINDOW_MS = 30_000;

/**
 * A SQLite file, replicated through the platform's NATS. The path is this node's own; every node has one. Throws
 * OPTIONS_INVALID. The file is made on first promotion where there is none.
 */
export function sqlite(path: string, options: SqliteOptions = {}): DatabaseProvider {
  const resolved = resolveSqliteOptions(options);
  return {
    kind: 'sqlite',
    open: (context) =>
      new SqliteDatabase(
        {
          path: realDatabasePath(path),
          platform: context.platform,
          app: context.app,
          node: context.node,
          connection: context.connection,
          options: resolved,
        },
        context,
      ),
  };
}

/** One database and its process, whoever manages it. */
export class SqliteDatabase implements Promotable {
  readonly #spec: DatabaseSpec;
  readonly #context: Pick<DatabaseContext, 'env' | 'guard'>;
  readonly #events = new Broadcast<DatabaseEvent>({
    onOverflow: (lost) => ({ type: 'warning', code: 'EVENTS_LOST', message: `${lost} events were not read in time` }),
  });
  readonly #stopped = new AbortController();
  #child: DatabaseChild | undefined;
  #startedAt = 0;
  #restarts = 0;
  #deaths = 0;
  readonly #givenUp = Promise.withResolvers<Error>();
  #status: DatabaseStatus;
  #bootstrap: BootstrapProgress | undefined;
  /** The process was asked, and has not said a word since. */
  #silence: CanopyError | undefined;
  /** Of the last warning that knew what to do. */
  #advice: { readonly message: string; readonly hint: string } | undefined;

  constructor(spec: DatabaseSpec, context: Pick<DatabaseContext, 'env' | 'guard'>) {
    this.#spec = spec;
    this.#context = context;
    this.#status = closedStatus(spec.path);
  }

  async start(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (this.#stopped.signal.aborted) throw sqliteErrors.create('SQLITE_STOPPED', { path: this.#spec.path });
    if (this.#child !== undefined) return;
    await this.#launch(options.signal);
  }

  async promote(options: PromoteOptions): Promise<Position> {
    const epoch: Epoch = options.epoch;
    const child = this.#running();
    const position = (await child.call('promote', { epoch }, { signal: options.signal })) as Position;
    if (!options.signal.aborted) return position;
    // It was done before it heard of the abort. Nobody counts on it any more, so nobody else would undo it.
    await child.call('demote', undefined);
    throw options.signal.reason;
  }

  async demote(options: { onShipped?: (position: Position) => void } = {}): Promise<void> {
    await this.#running().call('demote', undefined, { onShipped: options.onShipped });
  }

  async sync(options: SyncOptions = {}): Promise<Position> {
    requireCallOptions('sync()', options);
    const { signal, durability } = options;
    const call = { signal, patienceMs: ANSWER_MS };
    return (await this.#running().call('sync', { durability }, call)) as Position;
  }

  async waitFor(position: Position, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    requirePosition('waitFor()', position);
    requireCallOptions('waitFor()', options);
    await this.#running().call('waitFor', position, { signal: options.signal, patienceMs: ANSWER_MS });
  }

  /** See process/admin.ts; and `restore {id | txid | timestamp, dest, overwrite?, check?, onProgress?}`, which needs no role. */
  async admin(request: AdminRequest, options: { signal?: AbortSignal | undefined } = {}): Promise<unknown> {
    if (request.op === 'restore') {
      const onProgress = request.onProgress as ((progress: RestoreReport) => void) | undefined;
      const order = { spec: this.#spec, order: readRestoreOrder(request) };
      return restoreInChild(order, { ...options, ...(onProgress && { onProgress }) });
    }
    return this.#running().call('admin', request, { signal: options.signal });
  }

  /** Resolves with the last error once the process has died and is not started again by itself; never rejects. */
  get givenUp(): Promise<Error> {
    return this.#givenUp.promise;
  }

  status(): DatabaseStatus {
    const bootstrap = this.#bootstrap && { bootstrap: this.#bootstrap };
    const { message: problem, hint } = this.#silence ?? {};
    if (problem !== undefined) return { ...this.#status, ...bootstrap, lag: UNKNOWN, problem, hint };
    const advice = this.#advice?.message === this.#status.problem ? { hint: this.#advice?.hint } : undefined;
    return { ...this.#status, ...bootstrap, ...advice };
  }

  /** The status as it is now. A process that does not answer within the bound is the status's problem until it does. */
  async refresh(timeoutMs: number): Promise<DatabaseStatus> {
    const limit = new AbortController();
    const timer = this.#context.env.clock.timer(timeoutMs, () => limit.abort());
    try {
      await this.#child?.call('ping', undefined, { signal: limit.signal, patienceMs: 0 });
    } catch (error) {
      if (hasCode(error, 'SQLITE_PROCESS_SILENT')) this.#silence = error;
    } finally {
      timer.cancel();
    }
    return this.status();
  }

  /** The present role first, then events as they happen. */
  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<DatabaseEvent> {
    const { role, position } = this.#status;
    return this.#events.watch({ ...options, first: [{ type: 'role_changed', role, position }] });
  }

  async stop(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    this.#stopped.abort();
    const wasPrimary = this.#status.role === 'primary';
    const isClosed = await this.#child?.stop(STOP_GRACE_MS);
    const { position, problem } = this.#status;
    if (wasPrimary && isClosed === false && problem !== unshippedAfter(position))
      this.#status = { ...this.#status, problem: unknownAfter(position) };
    this.#child = undefined;
    this.#silence = undefined;
    if (this.#status.role !== 'closed') {
      this.#status = { ...this.#status, role: 'closed' };
      this.#events.send({ type: 'role_changed', role: 'closed', position: this.#status.position });
    }
    this.#events.close();
  }

  async #launch(signal: AbortSignal | undefined): Promise<void> {
    this.#startedAt = this.#context.env.clock.monotonic();
    const child = await DatabaseChild.spawn(this.#spec, this.#context.env, this.#context.guard, {
      onStatus: (status) => {
        this.#status = status;
        this.#silence = undefined;
      },
      onEvent: (event) => {
        this.#noteBootstrap(event);
        if (event.type === 'warning')
          this.#advice = event.hint === undefined ? undefined : { ...event, hint: event.hint };
        this.#logWarning(event);
        this.#events.send(event);
      },
      onDeath: (error) => this.#onDeath(error),
    });
    this.#child = child;
    try {
      await this.#started(child, signal);
    } catch (error) {
      await child.discard(STOP_GRACE_MS);
      if (this.#child === child) this.#child = undefined;
      this.#setFailed(error as Error);
      throw signal?.aborted ? signal.reason : error;
    }
  }

  /** Soon after an abort it rejects, whatever hangs: a start may be cut off anywhere. */
  async #started(child: DatabaseChild, signal: AbortSignal | undefined): Promise<void> {
    const answer = child.call('start', undefined, { signal });
    if (signal === undefined) return void (await answer);
    const late = Promise.withResolvers<never>();
    const giveUp = (): void => late.reject(new DOMException('the start was aborted', 'AbortError'));
    let timer: Timer | undefined;
    const onAbort = (): void => {
      timer = this.#context.env.clock.timer(ABORT_MS, giveUp);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([answer, late.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      timer?.cancel();
    }
  }

  #noteBootstrap(event: DatabaseEvent): void {
    if (event.type === 'role_changed') this.#bootstrap = undefined;
    if (event.type !== 'bootstrap_progress') return;
    const { type: _, ...progress } = event;
    this.#bootstrap = progress;
  }

  /** Here and nowhere else, so that each is one line however many watch. */
  #logWarning(event: DatabaseEvent): void {
    if (event.type !== 'warning') return;
    const { code, message } = event;
    this.#context.env.log.warn('database_warning', { path: this.#spec.path, code, message });
  }

  #onDeath(error: Error): void {
    this.#child = undefined;
    this.#bootstrap = undefined;
    this.#silence = undefined;
    this.#setFailed(error);
    const { clock, random, log } = this.#context.env;
    if (clock.monotonic() - this.#startedAt > RESTART_WINDOW_MS) this.#restarts = 0;
    if (this.#stopped.signal.aborted) return;
    if (this.#restarts >= RESTARTS_MAX) {
      this.#givenUp.resolve(error);
      return;
    }
    const death = ++this.#deaths;
    clock
      .sleep(backoffMs(this.#restarts++, RESTART, random), { signal: this.#stopped.signal })
      .then(() => (this.#child === undefined ? this.#launch(this.#stopped.signal) : undefined))
      .catch((reason: Error) => {
        log.error('database_restart_failed', { reason: reason.message });
        // One that died while it started has another restart before it.
        if (this.#deaths === death && !this.#stopped.signal.aborted) this.#givenUp.resolve(reason);
      });
  }

  #setFailed(error: Error): void {
    this.#status = { ...this.#status, role: 'failed', problem: error.message };
    this.#events.send({ type: 'failed', error });
  }

  #running(): DatabaseChild {
    if (this.#child === undefined)
      throw this.#stopped.signal.aborted
        ? sqliteErrors.create('SQLITE_STOPPED', { path: this.#spec.path })
        : sqliteErrors.create('SQLITE_PROCESS_DIED', { path: this.#spec.path, how: 'it is not running' });
    return this.#child;
  }
}

function closedStatus(path: string): DatabaseStatus {
  return {
    role: 'closed',
    path,
    position: START,
    logEnd: undefined,
    lag: UNKNOWN,
    sizeBytes: undefined,
    lastSnapshotAt: undefined,
    lastVerifiedAt: undefined,
    divergences: [],
    problem: undefined,
  };
}
