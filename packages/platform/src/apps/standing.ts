/**
 * Keeps the candidacy in step with the database: an app that is in no term stands for election only while its database
 * can be promoted. It looks at each event of the database and four times a second, because a status may change without
 * an event. A short gap, as after every step-down, is left alone: the election rests then anyway.
 */
import type { Clock, DatabaseStatus, Timer } from '@canopy/core';

const LOOK_MS = 250;
const WITHDRAW_AFTER_MS = 500;
const RETIRE_AGAIN_MS = 10_000;

export interface StandingDeps {
  readonly clock: Clock;
  /** No term is held or being undone. */
  readonly isIdle: () => boolean;
  readonly keeper: { readonly obstacle: string | undefined; status(): DatabaseStatus | undefined };
  readonly candidacy: { allow(isAllowed: boolean, reason: string | undefined): void };
  readonly steps: { retire(): void };
  /** What the app shows of itself has changed. */
  readonly onChanged: () => void;
}

export class Standing {
  readonly #deps: StandingDeps;
  #timer: Timer | undefined;
  #told: string | undefined;
  #since: number | undefined;
  #retiredAt = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(deps: StandingDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.look();
    this.#timer = this.#deps.clock.timer(LOOK_MS, () => this.#isStopped || this.start(), { background: true });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Something may have changed. */
  look(): void {
    const { clock, isIdle, keeper, candidacy, steps, onChanged } = this.#deps;
    if (this.#isStopped) return;
    if (!isIdle()) {
      this.#since = undefined;
      return;
    }
    const problem = keeper.obstacle;
    if (problem !== this.#told) {
      this.#told = problem;
      onChanged();
    }
    if (problem === undefined) {
      this.#since = undefined;
      candidacy.allow(true, undefined);
      return;
    }
    const now = clock.monotonic();
    this.#since ??= now;
    if (now - this.#since < WITHDRAW_AFTER_MS) return;
    candidacy.allow(false, problem);
    if (keeper.status()?.role !== 'primary' || now - this.#retiredAt < RETIRE_AGAIN_MS) return;
    this.#retiredAt = now;
    steps.retire();
  }
}
