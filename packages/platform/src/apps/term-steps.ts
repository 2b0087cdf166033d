/**
 * What the steps of a term do, one method each, in the order in which the role machine runs them. The gate (the board's
 * term) is open exactly between `serve` and `closeGate`; the backend runs only between `startBackend` and `stopBackend`;
 * the database is primary only between `promote` and `demote`.
 */
import {
  abortable,
  type Backend,
  type Clock,
  epoch as epochOf,
  formatPosition,
  type Logger,
  messageOf,
  type Promotable,
} from '@canopy/core';
import type { DatabaseAccess } from '../database/access.ts';
import type { AppProxy } from '../proxy/proxy.ts';
import { ActiveTerm } from './active-term.ts';
import type { CoordinatorDeps, StepContext, UndoContext } from './coordinator.ts';
import type { DatabaseKeeper } from './database-keeper.ts';
import type { HookRunner } from './hooks.ts';
import type { ResolvedAppOptions } from './options.ts';
import { Promotion } from './promotion.ts';
import { SHORT_SETTLE_MS } from './readiness.ts';
import type { RouteBoard } from './route-board.ts';
import type { Timeline } from './timeline.ts';

export interface TermStepsDeps {
  readonly options: ResolvedAppOptions;
  readonly keeper: DatabaseKeeper | undefined;
  readonly access: DatabaseAccess;
  readonly backend: Backend | undefined;
  readonly proxy: AppProxy | undefined;
  readonly board: RouteBoard;
  readonly hooks: HookRunner;
  readonly timeline: Timeline;
  /** How long something may take that takes `shortMs` when another node could do it instead. */
  readonly patience: (shortMs: number) => number;
  readonly clock: Clock;
  readonly log: Logger;
}

const SETTLE_LOOK_MS = 20;

export class TermSteps {
  readonly #deps: TermStepsDeps;
  #term: ActiveTerm | undefined;
  #database: Promotable | undefined;
  #promotion: Promotion | undefined;
  /** What goes on in the background after a term was given up: the database's way back to following. */
  #settling: Promise<unknown> = Promise.resolve();
  #isSettling = false;

  constructor(deps: TermStepsDeps) {
    this.#deps = deps;
  }

  get steps(): CoordinatorDeps['steps'] {
    return {
      settle: (context) => this.#settle(context),
      promote: (context) => this.#promote(context),
      activate: (context) => this.#activate(context),
      start_backend: (context) => this.#startBackend(context),
      serve: (context) => this.#serve(context),
    };
  }

  get undos(): CoordinatorDeps['undos'] {
    return {
      close_gate: (context) => this.#closeGate(context),
      stop_backend: (context) => this.#stopBackend(context),
      deactivate: (context) => this.#deactivate(context),
      demote: (context) => this.#demote(context),
    };
  }

  /** Resolves when nothing goes on in the background any more. */
  async settled(): Promise<void> {
    await this.#settling;
  }

  /** Sends a database back to following that is primary though there is no term. Only between terms. */
  retire(): void {
    const { keeper, log } = this.#deps;
    const database = keeper?.database;
    if (database === undefined || this.#isSettling) return;
    log.warn('database_retired', {});
    this.#inBackground(
      database.demote().catch((error: unknown) => log.warn('database_demote_failed', { error: messageOf(error) })),
    );
  }

  /** The app follows: tell the user's code, after everything that went before. Never rejects. */
  async standby(): Promise<void> {
    try {
      await this.#deps.hooks.run('onStandby', this.#deps.options.hooks.onStandby, {});
    } catch (error) {
      this.#deps.timeline.add('hook_failed', { detail: messageOf(error) });
    }
  }

  async #settle({ signal }: StepContext): Promise<void> {
    const { clock, keeper, patience } = this.#deps;
    const begunAt = clock.monotonic();
    for (;;) {
      signal.throwIfAborted();
      const obstacle = this.#isSettling ? 'what an earlier term left has not ended' : keeper?.obstacle;
      if (obstacle === undefined) break;
      if (clock.monotonic() - begunAt >= patience(SHORT_SETTLE_MS)) throw new Error(obstacle);
      const pause = clock.sleep(SETTLE_LOOK_MS, { signal });
      await (this.#isSettling ? Promise.race([this.#settling, pause]) : pause);
    }
    this.#database = await keeper?.ready(signal);
  }

  async #promote({ leadership, signal }: StepContext): Promise<void> {
    if (this.#database === undefined) return;
    const database = this.#database;
    const promotion = new Promotion(database, { epoch: leadership.epoch, signal });
    this.#promotion = promotion;
    const position = await promotion.position;
    // One that came too late is taken back, whenever that is: nobody may use what it gives.
    if (!signal.aborted && this.#promotion === promotion) this.#deps.access.begin(leadership, database);
    // Lets the database's own events of this promotion be read first: the timeline is in order then.
    await this.#deps.clock.sleep(0);
    this.#deps.timeline.add('promoted', { epoch: leadership.epoch, detail: formatPosition(position) });
  }

  async #activate({ leadership, signal }: StepContext): Promise<void> {
    const { options, hooks, timeline } = this.#deps;
    if (options.hooks.onActive === undefined) return;
    const ended = AbortSignal.any([signal, leadership.signal]);
    await hooks.run('onActive', options.hooks.onActive, { epoch: leadership.epoch }, ended);
    timeline.add('activated', { epoch: leadership.epoch });
  }

  async #startBackend({ leadership, signal }: StepContext): Promise<void> {
    if (this.#deps.backend === undefined) return;
    await this.#deps.backend.start({ signal });
    this.#deps.timeline.add('backend_started', { epoch: leadership.epoch });
  }

  async #serve({ leadership, signal }: StepContext): Promise<void> {
    const { options, backend, board, timeline, clock } = this.#deps;
    signal.throwIfAborted();
    if (!leadership.isValid()) throw new Error('the lease ran out');
    const address = options.proxy?.to ?? backend?.status().address;
    if (options.proxy !== undefined && address === undefined)
      throw new Error('the backend has no address: set proxy.to');
    this.#term = new ActiveTerm({
      leadership,
      backend: address ?? '',
      database: options.proxy?.writes === 'replicated' ? this.#database : undefined,
      clock,
    });
    board.term = this.#term;
    timeline.add('serving', { epoch: leadership.epoch });
  }

  async #closeGate({ leadership, fall, urgent }: UndoContext): Promise<void> {
    const { access, board, proxy, options, timeline } = this.#deps;
    if (fall.leaseHeld) access.leave();
    if (this.#term === undefined) return;
    if (fall.leaseHeld) this.#term.leave();
    board.term = undefined;
    if (!urgent.aborted && proxy !== undefined)
      await abortable(proxy.drain(options.drainTimeoutMs), urgent).catch(() => {});
    timeline.add('gate_closed', { epoch: leadership.epoch });
  }

  async #stopBackend({ leadership, urgent }: UndoContext): Promise<void> {
    const { backend, options, timeline } = this.#deps;
    if (backend === undefined) return;
    const kill = (): void => void backend.stop({ graceMs: 0 });
    urgent.addEventListener('abort', kill, { once: true });
    try {
      await backend.stop(graceful(urgent.aborted ? 0 : options.stopGraceMs));
    } finally {
      urgent.removeEventListener('abort', kill);
    }
    timeline.add('backend_stopped', { epoch: leadership.epoch });
  }

  async #deactivate({ leadership }: UndoContext): Promise<void> {
    const { hooks, options, timeline } = this.#deps;
    if (options.hooks.onPassive === undefined) return;
    await hooks.run('onPassive', options.hooks.onPassive, { epoch: leadership.epoch });
    timeline.add('deactivated', { epoch: leadership.epoch });
  }

  /**
   * Resolves as soon as a successor can have everything; the way back to following goes on in the background. A promotion
   * that heeds no abort is not waited for: nothing was written under it, and the log keeps it from its successor's.
   */
  async #demote({ leadership }: UndoContext): Promise<void> {
    const { access, timeline, log } = this.#deps;
    access.end();
    this.#term?.end();
    this.#term = undefined;
    const promotion = this.#promotion;
    this.#promotion = undefined;
    this.#database = undefined;
    if (promotion === undefined) {
      this.#inBackground(this.standby());
      return;
    }
    const epoch = epochOf(leadership.epoch);
    const shipped = Promise.withResolvers<void>();
    const { isRunning } = promotion;
    const undoing = promotion.undo({
      onShipped: (position) => {
        timeline.add('shipped', { epoch, detail: formatPosition(position) });
        shipped.resolve();
      },
    });
    this.#inBackground(
      undoing.then(
        (wasUndone) => {
          if (!wasUndone) return undefined;
          timeline.add('demoted', { epoch });
          return this.standby();
        },
        (error: unknown) => {
          timeline.add('failed', { epoch, detail: `demote: ${messageOf(error)}` });
          log.warn('database_demote_failed', { epoch, error: messageOf(error) });
          return this.standby();
        },
      ),
    );
    if (isRunning) log.warn('promotion_does_not_end', { epoch });
    else await Promise.race([shipped.promise, undoing]);
  }

  /** The next term waits for it. */
  #inBackground(work: Promise<void>): void {
    this.#isSettling = true;
    const settling = Promise.all([this.#settling, work]).finally(() => {
      if (this.#settling === settling) this.#isSettling = false;
    });
    this.#settling = settling;
  }
}

/** Without a limit the backend's own applies. */
export function graceful(graceMs: number | undefined): { graceMs?: number } {
  return graceMs === undefined ? {} : { graceMs };
}
