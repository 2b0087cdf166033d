/** The later write wins: by time, counter, node id ("9" beats "10": text, not numbers), and value when all else is equal. */
import {
  type AnyValue,
  type ConflictEntry,
  type ConflictResult,
  compareEntries,
  latest,
  type ResolutionStrategy,
  resultOf,
} from './entry.ts';

export class LastWriteWinsStrategy<V = AnyValue> implements ResolutionStrategy<V> {
  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V> {
    return compareEntries(local, remote) >= 0 ? resultOf(local, 'local') : resultOf(remote, 'remote');
  }

  resolveMultiple(entries: readonly ConflictEntry<V>[]): ConflictResult<V> {
    const winner = latest(entries);
    return resultOf(winner, winner === entries.at(-1) ? 'remote' : 'local');
  }
}
