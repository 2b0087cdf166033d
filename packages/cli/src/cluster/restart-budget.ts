/** How often a thing may be started again: `limit` times within `withinMs`, counted over a moving window. */
import type { Clock } from '@canopy/core';

export class RestartBudget {
  readonly limit: number;
  readonly withinMs: number;
  readonly #clock: Clock;
  #taken: number[] = [];

  constructor(clock: Clock, options: { readonly limit: number; readonly withinMs: number }) {
    this.#clock = clock;
    this.limit = options.limit;
    this.withinMs = options.withinMs;
  }

  /** False when there were that many restarts lately. */
  take(): boolean {
    const now = this.#clock.monotonic();
    this.#taken = this.#taken.filter((at) => now - at < this.withinMs);
    if (this.#taken.length >= this.limit) return false;
    this.#taken.push(now);
    return true;
  }
}
