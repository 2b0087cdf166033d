/** What the calls of an election take, and its check: a faulty one is OPTIONS_INVALID and nothing has happened. */
import { type Duration, resolveOptions } from '@canopy/core';
import type { ElectionReason } from './api.ts';

export interface ElectionStopOptions {
  /** Release the lease, so that another takes over at once. Default true. Without it the lease runs out. */
  readonly deleteKey?: boolean;
  /** Resolve only after the demote hooks. Default true; they run and precede the release in any case. */
  readonly waitForDemote?: boolean;
  /**
   * Bound on the whole stop. Default: the hook timeout and five requests. What is not done by then is left to the ttl; a
   * fence that still runs then is left to the warden, which ends after it.
   */
  readonly timeout?: Duration;
}

export interface StepDownOptions {
  readonly reason?: ElectionReason;
  /** Rest before standing again, a day at most; default the `holdOff` option. Whoever else wants the lease gets it meanwhile. */
  readonly holdOffMs?: number;
}

export interface WaitOptions {
  /** Default: no bound. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal | undefined;
}

/** Longest id that an election takes: it is part of the lease, of subjects and of the connection's name. */
export const INSTANCE_ID_MAX = 256;
/** Of waits: timers hold no more. */
const WAIT_MAX_MS = 2 ** 31 - 1;
const HOLD_OFF_MAX_MS = 86_400_000;

/** The options with undefined fields left out. */
export function checkedWait(options: WaitOptions): { timeoutMs?: number; signal: AbortSignal | undefined } {
  return resolveOptions('wait for leadership', options, (read) => {
    const timeoutMs =
      options.timeout === undefined ? {} : { timeoutMs: read.durationMs('timeout', { maxMs: WAIT_MAX_MS }) };
    const signal = read.any<AbortSignal | undefined>('signal');
    read.check(signal === undefined || signal instanceof AbortSignal, 'signal', 'must be an AbortSignal');
    return { ...timeoutMs, signal };
  });
}

/** With the default filled in. */
export function checkedStepDown(options: StepDownOptions, holdOffMs: number): Required<StepDownOptions> {
  return resolveOptions('step down', options, (read) => ({
    reason: read.string('reason', { default: 'step_down' }) as ElectionReason,
    holdOffMs: read.durationMs('holdOffMs', { default: holdOffMs, maxMs: HOLD_OFF_MAX_MS }),
  }));
}

/** With the default filled in. Whether `to` makes sense is asked elsewhere. */
export function checkedHandoff(
  to: string,
  options: { holdOffMs?: number },
  holdOffMs: number,
): { to: string; holdOffMs: number } {
  return resolveOptions('hand off', { to, ...options }, (read) => {
    const target = read.any<unknown>('to');
    const fine = typeof target === 'string' && target.length <= INSTANCE_ID_MAX;
    read.check(fine, 'to', `must be the id of an instance, at most ${INSTANCE_ID_MAX} characters long`);
    return { to, holdOffMs: read.durationMs('holdOffMs', { default: holdOffMs, maxMs: HOLD_OFF_MAX_MS }) };
  });
}
