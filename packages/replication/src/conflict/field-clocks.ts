/** Field clocks as users and the wire handle them: writing some fields of an entry, and checking what others sent. */
import { isPlainObject } from '../values/canonical.ts';
import type { Stamp } from '../values/stamp.ts';
import { type AnyValue, type ConflictEntry, compareEntries, invalid, stampOf } from './entry.ts';
import { clocksOf, type FieldClocks, joinTrees, readTree, showTree } from './field-tree.ts';

const DEPTH_MAX = 500;

/**
 * The entry after some of its fields were written at `stamp` (a HybridClock's `now()` as `{timestamp: wallMs, counter,
 * nodeId}`): those fields are as late as the stamp, all others stay as late as they were. Objects in `changes` are merged into
 * the ones that are there; a field that is `undefined` is removed. A change that is older than the field it changes is ignored.
 * The entry itself is not changed. Throws CONFLICT_ENTRY_INVALID for field clocks that are none.
 */
export function writeFields<V = AnyValue>(entry: ConflictEntry<V>, changes: object, stamp: Stamp): ConflictEntry<V> {
  const present = readTree(entry.value, stampOf(entry), checkFieldClocks(entry.fieldClocks), { crdt: false });
  const written: ConflictEntry = { value: changes, ...stamp };
  const tree = joinTrees(present, readTree(changes, stampOf(written), undefined, { crdt: false, removals: true }));
  const latest = stampOf(compareEntries({ ...entry, value: 0 }, { ...written, value: 0 }) >= 0 ? entry : written);
  const fieldClocks = clocksOf(tree, latest);
  const { fieldClocks: _old, ...rest } = entry;
  return { ...rest, value: showTree(tree) as V, ...latest, ...(fieldClocks && { fieldClocks }) };
}

/** Throws CONFLICT_ENTRY_INVALID when they are none. */
export function checkFieldClocks(clocks: unknown, depth = 0): FieldClocks | undefined {
  if (clocks === undefined) return undefined;
  if (!isPlainObject(clocks) || depth > DEPTH_MAX) throw invalid('its field clocks are no record, or too deep');
  const { at, floor, removed, fields } = clocks;
  checkStamp(at);
  if (floor !== undefined) checkStamp(floor);
  if (removed !== undefined && removed !== true)
    throw invalid('a field clock says "removed" with another value than true');
  if (fields !== undefined) {
    if (!isPlainObject(fields)) throw invalid('the fields of a field clock are no record');
    for (const inner of Object.values(fields)) {
      if (inner === undefined) throw invalid('a field clock is missing');
      checkFieldClocks(inner, depth + 1);
    }
  }
  return clocks as unknown as FieldClocks;
}

function checkStamp(stamp: unknown): void {
  if (!isPlainObject(stamp) || typeof stamp.timestamp !== 'number' || typeof stamp.nodeId !== 'string')
    throw invalid('a field clock has no timestamp and node id');
  stampOf({ ...stamp, value: undefined } as ConflictEntry);
}
