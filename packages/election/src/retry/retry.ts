/** Trying again: exponential backoff with jitter, an end for what can't succeed, and a bound on everything. */
import { backoffMs, type Env } from '@canopy/core';
import { isPermanent } from './failure-kind.ts';

export interface RetryOptions {
  /** Default 50 ms; doubled with each failure. */
  readonly initialMs?: number;
  /** Longest wait. Default 5 s. */
  readonly maxMs?: number;
  /** Part of a wait that is random, 0..1. Default 0.2. */
  readonly jitter?: number;
  /** Tries in all. Default: until the signal aborts; one of the two must be given. */
  readonly attempts?: number;
  readonly signal?: AbortSignal | undefined;
  /** What is not worth another try. Default `isPermanent`. */
  readonly isPermanent?: (error: unknown) => boolean;
}

/**
 * Settles as the first try of `work` that succeeds, that fails for good, or that is the last; rejects with the signal's
 * reason when that aborts during a wait.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  options: RetryOptions & ({ readonly attempts: number } | { readonly signal: AbortSignal }),
  env: Pick<Env, 'clock' | 'random'>,
): Promise<T> {
  const { initialMs = 50, maxMs = 5000, jitter = 0.2, attempts = Number.POSITIVE_INFINITY, signal } = options;
  const hopeless = options.isPermanent ?? isPermanent;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (hopeless(error) || attempt + 1 >= attempts) throw error;
    }
    await env.clock.sleep(backoffMs(attempt, { initialMs, maxMs, jitter }, env.random), { signal });
  }
}
