/** Exponential backoff with jitter, as a pure function of the attempt number. */
import type { Random } from '../random/random.ts';

export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Part of the delay that is random, 0..1 (default 0.5): a herd spreads out. */
  readonly jitter?: number;
}

/** Delay before try `attempt` (0 = first retry). */
export function backoffMs(attempt: number, options: BackoffOptions, random: Random): number {
  const full = Math.min(options.maxMs, options.initialMs * 2 ** Math.min(attempt, 30));
  const jitter = options.jitter ?? 0.5;
  return full * (1 - jitter) + full * jitter * random.next();
}
