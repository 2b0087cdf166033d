/**
 * Time as the rest of the code may know it. Durations and deadlines come only from `monotonic`; `wall` is for people
 * and for logs. `monotonic` has one origin for all processes of a machine (CLOCK_MONOTONIC), so a deadline may be handed
 * to a child process. It may not be compared between machines.
 */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump either way. */
  wall(): number;
  /** Milliseconds with fractions; never goes back. */
  monotonic(): number;
  /** Calls `run` once, `ms` from now at the earliest. Does not keep the process alive when `background`. */
  timer(ms: number, run: () => void, options?: { background?: boolean }): Timer;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}
