/** What every long-lived object is given instead of reaching for globals. `systemEnv()` is the real one. */
import type { Random } from '../random/random.ts';
import type { Clock } from '../time/clock.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Tracer } from './trace.ts';

export interface Env {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
}
