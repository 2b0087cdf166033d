/**
 * The wall clock of the store, by which what is stored has its age: ours may be hours off, and would have what is young
 * deleted, or keep everything for ever. It is heard now and then and goes on with our monotonic clock. Invariant: it is not
 * ahead of the store's, because an answer is heard after it was given.
 */
import type { Clock } from '@canopy/core';

export class StoreClock {
  readonly #clock: Clock;
  #heard: { readonly now: number; readonly at: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `now`: Unix ms by the store, at its answer. */
  heard(now: number): void {
    this.#heard = { now, at: this.#clock.monotonic() };
  }

  /** Unix ms; undefined while the store was not heard. */
  now(): number | undefined {
    return this.#heard && this.#heard.now + (this.#clock.monotonic() - this.#heard.at);
  }
}
