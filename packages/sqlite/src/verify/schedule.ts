/**
 * Which node proves a restore, and when, without any agreement between them: each looks at the record of the last proof. A
 * standby does it once the interval is over, the primary only when a while later nobody has. Pure.
 */

/** After a start without any record: what is being set up gets time to settle. */
const FIRST_MS = 15 * 60_000;
/** Parts of the interval: standbys spread over the first, the primary waits for the second. */
const SPREAD = 0.05;
const PRIMARY_DELAY = 0.1;
/** After a failure, a part of the interval until the next attempt. */
const RETRY = 1 / 24;
const RETRY_MIN_MS = 60_000;

export interface VerifySituation {
  readonly role: 'primary' | 'standby' | 'other';
  readonly intervalMs: number;
  /** Unix ms, as are the others. Undefined: never. */
  readonly lastVerifiedAt: number | undefined;
  readonly lastFailedAt: number | undefined;
  readonly startedAt: number;
  /** From 0 to 1, drawn once per process. */
  readonly chance: number;
}

/** When it is due here, Unix ms; undefined: not on this node as things are. */
export function verifyDueAt(situation: VerifySituation): number | undefined {
  const { role, intervalMs, lastVerifiedAt, lastFailedAt, startedAt, chance } = situation;
  if (intervalMs === 0 || role === 'other') return undefined;
  const delay = (role === 'primary' ? PRIMARY_DELAY : 0) + SPREAD * chance;
  const base = lastVerifiedAt === undefined ? startedAt + Math.min(FIRST_MS, intervalMs) : lastVerifiedAt + intervalMs;
  const due = base + delay * intervalMs;
  if (lastFailedAt === undefined) return due;
  return Math.max(due, lastFailedAt + Math.max(RETRY_MIN_MS, intervalMs * RETRY));
}
