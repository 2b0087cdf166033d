/**
 * One term as its user sees it. Invariants: once `isValid()` has said false it never says true again, because the machine
 * looks at the deadline before it accepts the answer of a renewal; and the signal says the same as `isValid()` to whoever
 * looks at it, before any timer has run.
 */
import type { Clock, Epoch } from '@canopy/core';
import type { ElectionReason, Leadership } from './api.ts';
import { electionErrors } from './errors.ts';
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
  readonly #onPassed: () => void;
  #passed = false;

  /** `onPassed` is called once, by the first look that finds the deadline passed. */
  constructor(clock: Clock, group: string, instanceId: string, term: Term, onPassed: () => void = () => {}) {
    this.#clock = clock;
    this.group = group;
    this.instanceId = instanceId;
    this.epoch = term.epoch as Epoch;
    this.token = term.token;
    this.acquiredAt = term.acquiredAt;
    this.signal = this.#controller.signal;
    this.#deadline = term.deadline;
    this.#validUntil = term.deadline;
    this.#onPassed = onPassed;
    askFirst(this.signal, () => this.#look());
  }

  deadline(): number {
    return this.#deadline;
  }

  isValid(): boolean {
    if (this.#clock.monotonic() < this.#validUntil) return true;
    if (!this.#passed) {
      this.#passed = true;
      if (this.#validUntil !== Number.NEGATIVE_INFINITY) this.#onPassed();
    }
    return false;
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

  /** Somebody asks the signal: past the deadline it aborts now. */
  #look(): void {
    if (this.#validUntil === Number.NEGATIVE_INFINITY || this.isValid()) return;
    const { group, instanceId, epoch } = this;
    const reason: ElectionReason = 'lease_expired';
    this.end(electionErrors.create('ELECTION_LEADERSHIP_LOST', { group, instanceId, reason, epoch }));
  }
}

/** Runs `ask` before each answer of the signal. Listeners, and signals derived from it, hear of an abort as ever. */
function askFirst(signal: AbortSignal, ask: () => void): void {
  const answer = <T>(take: () => T): T => {
    ask();
    return take();
  };
  const { prototype } = AbortSignal;
  Object.defineProperties(signal, {
    aborted: { get: () => answer(() => Reflect.get(prototype, 'aborted', signal)) },
    reason: { get: () => answer(() => Reflect.get(prototype, 'reason', signal)) },
    throwIfAborted: { value: () => answer(() => prototype.throwIfAborted.call(signal)) },
  });
}
