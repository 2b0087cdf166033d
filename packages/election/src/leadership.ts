/**
 * One term as its user sees it. Invariant: once `isValid()` has said false it never says true again, because the machine
 * looks at the deadline before it accepts the answer of a renewal.
 */
import type { Clock, Epoch } from '@canopy/core';
import type { Leadership } from './api.ts';
import type { Term } from './machine/state.ts';

export class HeldLeadership implements Leadership {
  readonly group: string;
  readonly instanceId: string;
  readonly epoch: Epoch;
  readonly token: string;
  readonly acquiredAt: number;
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  /** Minus infinity once the term has ended: one comparison answers everything. */
  #validUntil: number;
  #deadline: number;

  constructor(clock: Clock, group: string, instanceId: string, term: Term) {
    this.#clock = clock;
    this.group = group;
    this.instanceId = instanceId;
    this.epoch = term.epoch as Epoch;
    this.token = term.token;
    this.acquiredAt = term.acquiredAt;
    this.signal = this.#controller.signal;
    this.#deadline = term.deadline;
    this.#validUntil = term.deadline;
  }

  deadline(): number {
    return this.#deadline;
  }

  isValid(): boolean {
    return this.#clock.monotonic() < this.#validUntil;
  }

  /** A renewal was acknowledged. */
  extend(deadline: number): void {
    this.#deadline = deadline;
    if (this.#validUntil !== Number.NEGATIVE_INFINITY) this.#validUntil = deadline;
  }

  /** Ends the term; idempotent. */
  end(reason: Error): void {
    if (this.#validUntil === Number.NEGATIVE_INFINITY) return;
    this.#validUntil = Number.NEGATIVE_INFINITY;
    this.#controller.abort(reason);
  }
}
