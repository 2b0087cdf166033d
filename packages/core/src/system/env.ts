/** The real environment, silent unless told otherwise. */
import type { Env } from '../observe/env.ts';
import { silentLogger } from '../observe/log.ts';
import { noMetrics } from '../observe/metrics.ts';
import { noTracer } from '../observe/trace.ts';
import { systemClock } from './clock.ts';
import { systemRandom } from './random.ts';

/** The system's clock and chance, with silent log, metrics and traces for what is not given. */
export function systemEnv(given: Partial<Env> = {}): Env {
  return {
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    metrics: noMetrics,
    tracer: noTracer,
    ...given,
  };
}
