/**
 * Staying out of elections after a failure on this node: longer each time, so that a broken node does not take the lease
 * again and again from one that works. A term that served for 30 s clears the count.
 */
import { backoffMs, type Clock, type Random } from '@canopy/core';

const HOLD_OFF = { initialMs: 1000, maxMs: 60_000 };
const GOOD_TERM_MS = 30_000;

export class HoldOff {
  readonly #clock: Clock;
  readonly #random: Random;
  #failures = 0;
  #until = 0;
  #servedAt: number | undefined;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Terms in a row that ended because something failed here. */
  get failures(): number {
    return this.#failures;
  }

  /** Ms still to stay out; 0 = may stand. */
  get leftMs(): number {
    return Math.max(0, this.#until - this.#clock.monotonic());
  }

  /** The term serves. */
  served(): void {
    this.#servedAt = this.#clock.monotonic();
  }

  /** The term is over; returns how long to stay out. */
  ended(isFailure: boolean): number {
    const now = this.#clock.monotonic();
    if (this.#servedAt !== undefined && now - this.#servedAt > GOOD_TERM_MS) this.#failures = 0;
    this.#servedAt = undefined;
    if (!isFailure) return 0;
    const ms = backoffMs(this.#failures, HOLD_OFF, this.#random);
    this.#failures += 1;
    this.#until = now + ms;
    return ms;
  }
}
