/**
 * Work that has changed nothing until it is done, under ctrl-C and `--timeout`: either ends it, is waited for until what was
 * half-done is gone, and is told with a code of its own. Without `--timeout` there is no bound: how long it takes is for its
 * size to say.
 */
import { CanopyError, type Clock, formatDuration, systemClock } from '@canopy/core';
import { Interruption } from '../elect/interruption.ts';
import { cliErrors } from '../errors.ts';

export interface Bound {
  /** Counts only when it was named. */
  readonly timeoutMs: number;
  readonly isTimeoutGiven?: boolean | undefined;
}

export interface UndisturbedOptions {
  /** For the message: "the restore". */
  readonly what: string;
  /** Default: nothing was changed. */
  readonly left?: string;
  readonly bound: Bound;
  /** Default: the signals of this process. */
  readonly interruption?: Disposable & { readonly signal: AbortSignal };
  readonly clock?: Clock;
}

/** Throws INTERRUPTED or TIME_RAN_OUT once the signal that `work` got has ended it; anything else as it comes. */
export async function undisturbed<T>(
  options: UndisturbedOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { what, left = 'nothing was changed', clock = systemClock } = options;
  const { timeoutMs, isTimeoutGiven = false } = options.bound;
  using interruption = options.interruption ?? new Interruption();
  const limit = new AbortController();
  const ranOut = (): Error => cliErrors.create('TIME_RAN_OUT', { what, left, timeout: formatDuration(timeoutMs) });
  const timer = isTimeoutGiven ? clock.timer(timeoutMs, () => limit.abort(ranOut())) : undefined;
  const signal = AbortSignal.any([interruption.signal, limit.signal]);
  try {
    return await work(signal);
  } catch (error) {
    if (!signal.aborted || !isBecause(error, signal.reason)) throw error;
    throw interruption.signal.aborted ? cliErrors.create('INTERRUPTED', { left }, error) : limit.signal.reason;
  } finally {
    timer?.cancel();
  }
}

/** What our own code has found wrong by then is worth more than that it was told to end. */
function isBecause(error: unknown, reason: unknown): boolean {
  return error === reason || !CanopyError.is(error) || error.cause === reason;
}
