/** When the next operation may begin: at once, or at even distances. Turns that nobody was free to take are left out. */
import type { Clock } from '@canopy/core';

export class Pace {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  /** `perSecond` 0 means at once. */
  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#intervalMs = perSecond === 0 ? 0 : 1000 / perSecond;
  }

  /** Resolves when it is the caller's turn; rejects when the signal aborts first. */
  async next(signal: AbortSignal): Promise<void> {
    if (this.#intervalMs === 0) return;
    const now = this.#clock.monotonic();
    // Being late by less than a turn is timer jitter and made up for; more is an outage and is not.
    const turn = Math.max(this.#nextAt, now - this.#intervalMs);
    this.#nextAt = turn + this.#intervalMs;
    if (turn > now) await this.#clock.sleep(turn - now, { signal });
  }
}
