/** The real clock. Together with the rest of src/system this is the only place that may touch timers and Date. */
import type { Clock } from '../time/clock.ts';
import { sleepWith } from '../time/sleep.ts';

/**
 * performance.now() counts from the process's start and costs a fraction of hrtime; both read CLOCK_MONOTONIC, so one
 * offset taken at load makes it comparable between the processes of this machine. Whatever comes between the two reads
 * (the first use of `performance` alone takes a millisecond, a busy machine more) makes a sample too small, never too
 * large: the largest of a few is the right one.
 */
const offsetMs = Math.max(
  ...Array.from({ length: 8 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now()),
);
/** setTimeout fires at once beyond this. */
const TIMER_MAX_MS = 2 ** 31 - 1;

const timer: Clock['timer'] = (ms, run, options) => {
  const handle = setTimeout(run, Math.min(Math.max(0, Math.ceil(ms)), TIMER_MAX_MS));
  if (options?.background) handle.unref();
  return { cancel: () => clearTimeout(handle) };
};

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now() + offsetMs,
  timer,
  sleep: (ms, options) => sleepWith({ timer }, ms, options?.signal),
};
