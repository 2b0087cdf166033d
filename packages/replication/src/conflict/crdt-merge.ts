/**
 * Values that merge are merged, wherever they are in plain objects; every other field is taken whole from the later write. What
 * only one version has is kept. A field that holds a value that merges on one replica holds one on all of them: plain values
 * never replace it. The inputs are not changed.
 *
 * Whole-value times have the limit that FieldMergeStrategy tells of; the option `fieldClocks` and `resolveMultiple` are without.
 */
import { isMergeable } from '../crdt/mergeable.ts';
import { isPlainObject } from '../values/canonical.ts';
import type { AnyValue, ConflictEntry, ConflictResult, ResolutionStrategy } from './entry.ts';
import { type FieldMergeOptions, mergeTrees } from './field-merge.ts';
import { LastWriteWinsStrategy } from './last-write-wins.ts';

export class CRDTMergeStrategy<V = AnyValue> implements ResolutionStrategy<V> {
  readonly #options: FieldMergeOptions;
  readonly #plain = new LastWriteWinsStrategy<V>();

  constructor(options: FieldMergeOptions = {}) {
    this.#options = options;
  }

  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V> {
    if (!hasParts(local.value) && !hasParts(remote.value)) return this.#plain.resolve(local, remote);
    return this.resolveMultiple([local, remote]);
  }

  resolveMultiple(entries: readonly ConflictEntry<V>[]): ConflictResult<V> {
    return mergeTrees(entries, entries, { crdt: true }, this.#options);
  }
}

function hasParts(value: unknown): boolean {
  return isPlainObject(value) || isMergeable(value);
}
