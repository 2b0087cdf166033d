/** Where a backend's output goes when it is not a file: the node's log, within a rate, or the user's function. */
import type { Clock, Counter, Labels, Logger } from '@canopy/core';
import type { OutputLine, OutputSink } from './output.ts';

const LINES_PER_SECOND = 500;

/**
 * To the node's log. A flood must not starve the node that has a lease to renew: past 500 lines a second the rest of the
 * second is dropped, counted, and reported by one line.
 */
export function logSink(log: Logger, clock: Clock, dropped: Counter, labels: Labels): OutputSink {
  let windowStart = clock.monotonic();
  let taken = 0;
  let left = 0;
  const report = (): void => {
    if (left === 0) return;
    dropped.add(left, labels);
    log.warn('backend_output_dropped', { lines: left });
    left = 0;
  };
  return {
    write({ stream, text }) {
      const now = clock.monotonic();
      if (now - windowStart >= 1000) {
        report();
        windowStart = now;
        taken = 0;
      }
      if (taken < LINES_PER_SECOND) {
        taken += 1;
        log.info('backend_output', { stream, text });
      } else left += 1;
      return true;
    },
    onDrain() {},
    close: async () => report(),
  };
}

/** To the user's function. What it throws is logged once and otherwise ignored. */
export function handlerSink(handler: (line: OutputLine) => void, log: Logger): OutputSink {
  let hasFailed = false;
  return {
    write(line) {
      try {
        handler(line);
      } catch (error) {
        if (!hasFailed) log.error('backend_log_handler_failed', { error: String(error) });
        hasFailed = true;
      }
      return true;
    },
    onDrain() {},
    close: async () => {},
  };
}
