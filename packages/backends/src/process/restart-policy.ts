/**
 * Whether and when a backend that ended by itself is started again. Pure: the history of restarts goes in, the decision
 * and the new history come out. Bounded: past `maxRestarts` within `withinMs` the answer is no.
 */
import { backoffMs, type Random } from '@canopy/core';

export type RestartMode = 'on-failure' | 'always' | 'never';

export interface RestartPolicy {
  readonly mode: RestartMode;
  readonly maxRestarts: number;
  readonly withinMs: number;
  readonly backoff: { readonly initialMs: number; readonly maxMs: number };
}

export type RestartCause =
  | { readonly type: 'exited'; readonly code: number | undefined; readonly signal: string | undefined }
  | { readonly type: 'unhealthy' }
  | { readonly type: 'start_failed' };

export type RestartDecision =
  /** `history` replaces the old one. */
  | { readonly restart: true; readonly delayMs: number; readonly history: readonly number[] }
  /** `policy`: it does not restart this. `exhausted`: it did so often enough. */
  | { readonly restart: false; readonly why: 'policy' | 'exhausted' };

/** `history` holds the monotonic times of earlier restarts, oldest first. */
export function decideRestart(
  policy: RestartPolicy,
  history: readonly number[],
  cause: RestartCause,
  now: number,
  random: Random,
): RestartDecision {
  if (policy.mode === 'never') return { restart: false, why: 'policy' };
  const endedWell = cause.type === 'exited' && cause.code === 0;
  if (endedWell && policy.mode === 'on-failure') return { restart: false, why: 'policy' };
  const recent = history.filter((at) => at > now - policy.withinMs);
  if (recent.length >= policy.maxRestarts) return { restart: false, why: 'exhausted' };
  return { restart: true, delayMs: backoffMs(recent.length, policy.backoff, random), history: [...recent, now] };
}
