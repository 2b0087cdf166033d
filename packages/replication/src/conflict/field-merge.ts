/**
 * Field by field: what only one version has is kept, and of what both have the later write counts, in objects inside objects
 * too. Lists, dates and instances of classes are taken whole. At the top, a version that is null loses to one that is not.
 *
 * With whole-value times a merged version is as late as the later of the two, its older fields too; two replicas that meet three
 * versions in different orders can then differ. The option `fieldClocks` keeps each field's own time in the entry, removes
 * fields for good, and makes every order give the same; `resolveMultiple` does so without it.
 */
import {
  type AnyValue,
  type ConflictEntry,
  type ConflictResult,
  latest,
  mergeEntryClocks,
  type ResolutionStrategy,
  stampOf,
} from './entry.ts';
import { checkFieldClocks } from './field-clocks.ts';
import { clocksOf, type FieldNode, joinTrees, type ReadRules, readTree, showTree } from './field-tree.ts';

export interface FieldMergeOptions {
  /** Read the field clocks of entries and give the result its own. Default false: a field is as old as its entry. */
  readonly fieldClocks?: boolean;
}

export class FieldMergeStrategy<V = AnyValue> implements ResolutionStrategy<V> {
  readonly #options: FieldMergeOptions;

  constructor(options: FieldMergeOptions = {}) {
    this.#options = options;
  }

  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V> {
    return this.resolveMultiple([local, remote]);
  }

  resolveMultiple(entries: readonly ConflictEntry<V>[]): ConflictResult<V> {
    const present = entries.filter(({ value }) => value !== null && value !== undefined);
    return mergeTrees(present.length === 0 ? entries : present, entries, { crdt: false }, this.#options);
  }
}

/** Merges the values of `present`; the result is as late, and has seen as much, as all of `entries`. */
export function mergeTrees<V>(
  present: readonly ConflictEntry<V>[],
  entries: readonly ConflictEntry<V>[],
  rules: ReadRules,
  options: FieldMergeOptions,
): ConflictResult<V> {
  const stamp = stampOf(latest(entries));
  const trees = present.map((entry) => readEntry(entry, rules, options.fieldClocks === true));
  const tree = trees.reduce(joinTrees);
  const vectorClock = mergeEntryClocks(entries);
  const fieldClocks = options.fieldClocks ? clocksOf(tree, stamp) : undefined;
  return {
    value: showTree(tree) as V,
    ...stamp,
    ...(vectorClock && { vectorClock }),
    ...(fieldClocks && { fieldClocks }),
    resolution: 'merged',
  };
}

export function readEntry(entry: ConflictEntry, rules: ReadRules, withClocks: boolean): FieldNode {
  const clocks = withClocks ? checkFieldClocks(entry.fieldClocks) : undefined;
  return readTree(entry.value, stampOf(entry), clocks, rules);
}
