/**
 * Whether trying again can help. Failures were recognised below by the numbers that servers give them (a refused
 * conditional write is 10071 or 10164, a missing stream 10059, …; see the NATS adapter) and carry codes since; nothing here looks at
 * a text.
 */
import { CanopyError, hasCode } from '@canopy/core';

export type FailureKind = 'transient' | 'permanent';

/** Codes whose `retryable` flag speaks of the whole system, not of the same call made again by the same caller. */
const PERMANENT: readonly string[] = ['KV_CONFLICT', 'ELECTION_NOT_LEADER', 'ELECTION_LEADERSHIP_LOST'];

/**
 * `permanent`: the same call will fail again until somebody changes something (options, permissions, a missing bucket,
 * a conflict, which asks for a new read and a new decision). `transient`: timeouts, lost connections, elections inside
 * of NATS, and everything unknown, which is how an unknown failure does the least harm to a loop with backoff.
 */
export function failureKind(error: unknown): FailureKind {
  if (hasCode(error, ...PERMANENT)) return 'permanent';
  if (CanopyError.is(error)) return error.retryable ? 'transient' : 'permanent';
  return error instanceof TypeError || error instanceof RangeError ? 'permanent' : 'transient';
}

/** Trying the same again can't help. An abort is not a failure of what was tried, and never permanent. */
export function isPermanent(error: unknown): boolean {
  return !isAbort(error) && failureKind(error) === 'permanent';
}

export function isTransient(error: unknown): boolean {
  return !isPermanent(error);
}

function isAbort(error: unknown): boolean {
  return error instanceof DOMException && (error.name === 'AbortError' || error.name === 'TimeoutError');
}
