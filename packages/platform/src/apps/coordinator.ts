/**
 * The shell around the role machine: runs one step or undo at a time, each within its time, feeds the outcomes back, and
 * tells when a term is given up. What a step does is given from outside, so that order and undo can be tested by
 * themselves. It watches the clock, too: a lease that runs out while it is being given up gracefully turns haste on.
 */
import { type Env, messageOf, type Timer } from '@canopy/core';
import type { Leadership } from '@canopy/election';
import { platformErrors } from '../errors.ts';
import {
  type Fall,
  INITIAL_ROLE,
  type RoleEffect,
  type RoleState,
  type Step,
  stepRole,
  type Undo,
} from './role-machine.ts';

export interface StepContext {
  readonly leadership: Leadership;
  /** Aborts when the term is lost; the step must then end, with nothing of it left. */
  readonly signal: AbortSignal;
}

export interface UndoContext {
  readonly leadership: Leadership;
  readonly fall: Fall;
  /** Aborts when there is no time for grace (any more). */
  readonly urgent: AbortSignal;
}

export interface CoordinatorDeps {
  readonly app: string;
  readonly steps: Readonly<Record<Step, (context: StepContext) => Promise<void>>>;
  /** May reject: that is logged, and the way down goes on. */
  readonly undos: Readonly<Record<Undo, (context: UndoContext) => Promise<void>>>;
  /** Bounds, ms. One that is a function is asked again and again while the step runs. */
  readonly stepTimeoutMs: Readonly<Record<Step, number | (() => number)>>;
  readonly undoTimeoutMs: Readonly<Record<Undo, number>>;
  /** How long an aborted step may take to end before the way down begins without it. */
  readonly abortGraceMs: number;
  /** Everything of the term is undone. */
  readonly onGivenUp: (leadership: Leadership, fall: Fall) => void;
  readonly onChanged: (state: RoleState) => void;
}

const BOUND_LOOK_MS = 500;

export class Coordinator {
  readonly #deps: CoordinatorDeps;
  readonly #env: Env;
  readonly #terms = new Map<number, Leadership>();
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #idle: (() => void)[] = [];
  #state: RoleState = INITIAL_ROLE;
  #abortStep: (reason: Error) => void = () => {};
  #urgent = new AbortController();
  #deadlineTimer: Timer | undefined;

  constructor(deps: CoordinatorDeps, env: Env) {
    this.#deps = deps;
    this.#env = env;
  }

  get state(): RoleState {
    return this.#state;
  }

  /** Leadership was won: begin to become active. */
  elected(leadership: Leadership): void {
    this.#terms.set(leadership.epoch, leadership);
    this.#waiting.set(leadership.epoch, Promise.withResolvers());
    this.#dispatch({ type: 'elected', epoch: leadership.epoch });
  }

  /** The term must end. Does nothing for a term that is over. */
  fall(epoch: number, fall: Fall): void {
    this.#dispatch({ type: 'fall', epoch, fall });
  }

  /** Resolves when nothing of the term is left; at once for an unknown one. */
  givenUp(epoch: number): Promise<void> {
    return this.#waiting.get(epoch)?.promise ?? Promise.resolve();
  }

  /** Resolves when no term is held or being undone. */
  idle(): Promise<void> {
    if (this.#state.phase === 'standby') return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #dispatch(event: Parameters<typeof stepRole>[1]): void {
    const before = this.#state;
    const { state, effects } = stepRole(before, event);
    this.#state = state;
    // The state is told first: who asks during an effect sees the new one.
    if (state !== before) this.#deps.onChanged(state);
    for (const effect of effects) this.#perform(effect);
    if (this.#state.phase === 'standby') for (const resolve of this.#idle.splice(0)) resolve();
  }

  #perform(effect: RoleEffect): void {
    if (effect.type === 'run') void this.#runStep(effect.step, effect.epoch);
    else if (effect.type === 'abort_step') this.#abortStep(new DOMException(effect.reason, 'AbortError'));
    else if (effect.type === 'hurry') this.#urgent.abort(new DOMException('the lease is lost', 'AbortError'));
    else if (effect.type === 'undo') void this.#runUndo(effect.undo, effect.epoch, effect.fall);
    else this.#end(effect.epoch, effect.fall);
  }

  async #runStep(step: Step, epoch: number): Promise<void> {
    const leadership = this.#term(epoch);
    const controller = new AbortController();
    const { clock } = this.#env;
    const overdue = Promise.withResolvers<never>();
    let graceTimer: Timer | undefined;
    const abort = (reason: Error): void => {
      if (controller.signal.aborted) return;
      controller.abort(reason);
      graceTimer = clock.timer(this.#deps.abortGraceMs, () => overdue.reject(reason));
    };
    this.#abortStep = abort;
    const unbound = this.#bound(step, abort);
    try {
      const work = this.#deps.steps[step]({ leadership, signal: controller.signal });
      work.catch(() => {});
      await Promise.race([work, overdue.promise]);
      // It did not heed the abort: what came too late counts as failed, and is undone like everything before it.
      controller.signal.throwIfAborted();
      this.#dispatch({ type: 'step_done', step });
    } catch (error) {
      const cause = controller.signal.aborted ? controller.signal.reason : error;
      this.#env.log.warn('app_step_failed', { app: this.#deps.app, step, epoch, error: messageOf(cause) });
      this.#dispatch({ type: 'step_failed', step, reason: messageOf(cause) });
    } finally {
      unbound();
      graceTimer?.cancel();
    }
  }

  /** Aborts the step when its time is up, as judged while it runs. Returns how to end that. */
  #bound(step: Step, abort: (reason: Error) => void): () => void {
    const { clock } = this.#env;
    const { app, stepTimeoutMs } = this.#deps;
    const begunAt = clock.monotonic();
    const bound = stepTimeoutMs[step];
    let timer: Timer | undefined;
    const look = (): void => {
      const timeoutMs = typeof bound === 'number' ? bound : bound();
      const leftMs = begunAt + timeoutMs - clock.monotonic();
      if (leftMs <= 0) abort(platformErrors.create('STEP_TIMEOUT', { app, step, timeoutMs }));
      else timer = clock.timer(typeof bound === 'number' ? leftMs : Math.min(leftMs, BOUND_LOOK_MS), look);
    };
    look();
    return () => timer?.cancel();
  }

  async #runUndo(undo: Undo, epoch: number, fall: Fall): Promise<void> {
    const leadership = this.#term(epoch);
    if (!fall.leaseHeld) this.#urgent.abort(new DOMException(fall.reason, 'AbortError'));
    else this.#watchDeadline(epoch, leadership, fall);
    const timeoutMs = this.#deps.undoTimeoutMs[undo];
    const overdue = Promise.withResolvers<never>();
    const timer = this.#env.clock.timer(timeoutMs, () =>
      overdue.reject(platformErrors.create('STEP_TIMEOUT', { app: this.#deps.app, step: undo, timeoutMs })),
    );
    try {
      const work = this.#deps.undos[undo]({ leadership, fall, urgent: this.#urgent.signal });
      work.catch(() => {});
      await Promise.race([work, overdue.promise]);
    } catch (error) {
      this.#env.log.error('app_undo_failed', { app: this.#deps.app, undo, epoch, error: messageOf(error) });
    } finally {
      timer.cancel();
    }
    this.#dispatch({ type: 'undo_ended', undo });
  }

  /** Renewals move the deadline on; when it passes all the same, the lease is no longer ours. */
  #watchDeadline(epoch: number, leadership: Leadership, fall: Fall): void {
    if (this.#deadlineTimer !== undefined || this.#urgent.signal.aborted) return;
    const leftMs = leadership.deadline() - this.#env.clock.monotonic();
    if (leftMs <= 0) {
      this.#dispatch({ type: 'fall', epoch, fall: { ...fall, leaseHeld: false } });
      return;
    }
    this.#deadlineTimer = this.#env.clock.timer(leftMs, () => {
      this.#deadlineTimer = undefined;
      this.#watchDeadline(epoch, leadership, fall);
    });
  }

  #end(epoch: number, fall: Fall): void {
    const leadership = this.#term(epoch);
    this.#deadlineTimer?.cancel();
    this.#deadlineTimer = undefined;
    this.#urgent = new AbortController();
    this.#terms.delete(epoch);
    this.#deps.onGivenUp(leadership, fall);
    this.#waiting.get(epoch)?.resolve();
    this.#waiting.delete(epoch);
  }

  #term(epoch: number): Leadership {
    return this.#terms.get(epoch) as Leadership;
  }
}
