/**
 * Where the revisions of a bucket begin. One that was deleted and made anew would count from 1 again, and a conditional
 * write that was meant for a value of the old one could find its revision under another value in the new one. So a
 * bucket made here begins at the wall clock, in steps of 10 microseconds: faster than any stream counts, hence above
 * every revision of the buckets before it. Invariant: a revision that can't repeat lies at `UNREPEATED` or above.
 */

/** In 1973 by the clock, and more writes than a bucket sees that counts from 1. */
const UNREPEATED = 1e13;

/** The revision at which a bucket begins that is made at this wall-clock time (Unix ms), above `floor` in any case. */
export function firstRevision(wallMs: number, floor = 0): number {
  return Math.max(UNREPEATED, Math.round(wallMs * 100), floor + 1);
}

/** Whether a bucket of the same name, made before or after, may have another value at this revision. */
export function mayRepeat(revision: number): boolean {
  return revision < UNREPEATED;
}
