/**
 * From single answers to a state: healthy after `healthyAfter` good ones in a row, unhealthy after `unhealthyAfter` bad
 * ones, unknown before either. Pure.
 */
export interface HealthSample {
  readonly ok: boolean;
  /** The answer in short: "200", "503 starting up", "connection refused". */
  readonly detail: string;
}

export interface HealthRules {
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
}

export interface HealthState {
  readonly healthy: boolean | undefined;
  /** Answers in a row of the kind of the last one. */
  readonly streak: number;
  readonly last: HealthSample | undefined;
}

export const HEALTH_UNKNOWN: HealthState = { healthy: undefined, streak: 0, last: undefined };

export function stepHealth(state: HealthState, sample: HealthSample, rules: HealthRules): HealthState {
  const streak = state.last?.ok === sample.ok ? state.streak + 1 : 1;
  const needed = sample.ok ? rules.healthyAfter : rules.unhealthyAfter;
  return { healthy: streak >= needed ? sample.ok : state.healthy, streak, last: sample };
}

/** Pauses between the probes of a start: short at first, so that a quick backend serves at once. */
export function startProbePauseMs(attempt: number, intervalMs: number): number {
  return Math.min(10 * 1.25 ** Math.min(attempt, 40), 250, intervalMs);
}
