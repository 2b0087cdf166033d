/**
 * The clock of a process that many databases share: what is due in a second and a half or more comes a little later,
 * together with everything else that is due by then. So a hundred idle databases wake the process four times a second and
 * not hundreds of times, and what they ask of the server travels together. Invariant: nothing runs early, nothing runs more
 * than GRID_MS late, and what is due sooner (retries, looks at a WAL that is written, the bounds of an end) is left as it is.
 */
import { type Clock, sleepWith, type Timer } from '@canopy/core';

/** At most a sixth of what is coalesced. */
const GRID_MS = 250;
const COALESCED_FROM_MS = 1500;

interface Tick {
  readonly timer: Timer;
  readonly runs: Set<() => void>;
}

export function coalescingClock(clock: Clock): Clock {
  const ticks = new Map<number, Tick>();
  const tickAt = (at: number): Tick => {
    const known = ticks.get(at);
    if (known !== undefined) return known;
    const runs = new Set<() => void>();
    const fire = (): void => {
      ticks.delete(at);
      for (const run of runs) run();
    };
    const tick = { runs, timer: clock.timer(at - clock.monotonic(), fire) };
    ticks.set(at, tick);
    return tick;
  };
  // The process ends by being told to, so that what is in the background need not be told from the rest.
  const timer: Clock['timer'] = (ms, run, options) => {
    if (ms < COALESCED_FROM_MS) return clock.timer(ms, run, options);
    const at = Math.ceil((clock.monotonic() + ms) / GRID_MS) * GRID_MS;
    const tick = tickAt(at);
    const once = (): void => run();
    tick.runs.add(once);
    const cancel = (): void => {
      if (!tick.runs.delete(once) || tick.runs.size > 0 || ticks.get(at) !== tick) return;
      ticks.delete(at);
      tick.timer.cancel();
    };
    return { cancel };
  };
  return {
    wall: () => clock.wall(),
    monotonic: () => clock.monotonic(),
    timer,
    sleep: (ms, options) => sleepWith({ timer }, ms, options?.signal),
  };
}
