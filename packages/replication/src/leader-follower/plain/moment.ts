/**
 * Ages on plain pipelines, by the monotonic clock or the wall clock, whichever says more: programs, and their tests, that know only the wall clock
 * set it forward and expect what it times to be over. Only for what does no harm when it is over too soon.
 */
import type { Clock } from '@canopy/core';

export interface Moment {
  readonly monotonic: number;
  /** Unix ms. */
  readonly wall: number;
}

export function momentOf(clock: Clock): Moment {
  return { monotonic: clock.monotonic(), wall: clock.wall() };
}

export function elapsedMs(since: Moment, now: Moment): number {
  return Math.max(now.monotonic - since.monotonic, now.wall - since.wall);
}
