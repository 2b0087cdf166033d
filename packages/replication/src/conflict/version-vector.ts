/**
 * A version that has seen the other replaces it. Between those that have not, or whose clocks are equal or missing, the later
 * write wins, and the result names all of them as conflicts.
 *
 * Resolving two at a time is independent of the order of arrival when timestamps agree with the clocks, as a HybridClock's do;
 * `resolveMultiple` always is.
 */
import { type ClockOrder, VectorClock } from '../clock/vector-clock.ts';
import {
  type AnyValue,
  type ConflictEntry,
  type ConflictResult,
  compareEntries,
  latest,
  mergeEntryClocks,
  type Resolution,
  type ResolutionStrategy,
  resultOf,
} from './entry.ts';

export class VersionVectorStrategy<V = AnyValue> implements ResolutionStrategy<V> {
  /** Throws VECTOR_CLOCK_INVALID when a clock is none. */
  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V> {
    const order = orderOf(local, remote);
    if (order === 'after') return withClocks(resultOf(local, 'local'), [local, remote]);
    if (order === 'before') return withClocks(resultOf(remote, 'remote'), [local, remote]);
    const winner = latest([local, remote]);
    return { ...withClocks(resultOf(winner, 'merged'), [local, remote]), conflicts: [local, remote] };
  }

  resolveMultiple(entries: readonly ConflictEntry<V>[]): ConflictResult<V> {
    const unseen = entries.filter((entry) => !entries.some((other) => orderOf(entry, other) === 'before'));
    const winner = latest(unseen);
    const alone: Resolution = winner === entries.at(-1) ? 'remote' : 'local';
    const result = withClocks(resultOf(winner, unseen.length === 1 ? alone : 'merged'), entries);
    return unseen.length === 1 ? result : { ...result, conflicts: unseen.sort((a, b) => compareEntries(b, a)) };
  }
}

function orderOf({ vectorClock: a }: ConflictEntry, { vectorClock: b }: ConflictEntry): ClockOrder {
  return a === undefined || b === undefined ? 'concurrent' : VectorClock.compare(a.entries, b.entries);
}

function withClocks<V>(result: ConflictResult<V>, entries: readonly ConflictEntry[]): ConflictResult<V> {
  const vectorClock = mergeEntryClocks(entries);
  return vectorClock === undefined ? result : { ...result, vectorClock };
}
