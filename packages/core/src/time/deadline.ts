/** Bounds on waiting. Every wait on something outside has one. */
import { coreErrors } from '../errors/errors.ts';
import type { Clock } from './clock.ts';

/** Settles as `work` does, or rejects with DEADLINE_EXCEEDED after `timeoutMs`. The work itself is not stopped. */
export async function withDeadline<T>(
  clock: Clock,
  operation: string,
  timeoutMs: number,
  work: PromiseLike<T>,
): Promise<T> {
  let expire: (error: Error) => void = () => {};
  const expired = new Promise<never>((_, reject) => {
    expire = reject;
  });
  // What is left of a budget has fractions; the message is for people.
  const fields = { operation, timeoutMs: Math.round(timeoutMs) };
  const timer = clock.timer(timeoutMs, () => expire(coreErrors.create('DEADLINE_EXCEEDED', fields)));
  try {
    return await Promise.race([work, expired]);
  } finally {
    timer.cancel();
    // The loser of the race may still reject; nobody is left to hear it.
    Promise.resolve(work).catch(() => {});
  }
}

/** Settles as `work` does, or rejects with the signal's reason when it aborts first. */
export async function abortable<T>(work: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    Promise.resolve(work).catch(() => {});
  }
}
