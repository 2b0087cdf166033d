/**
 * The two versions that are to become one, and what becomes of them. Entries are ordered by time, counter, node id and, if all
 * of that is equal, by the value: the same one is last on every node.
 */

import { VectorClock } from '../clock/vector-clock.ts';
import { replicationErrors } from '../errors.ts';
import { compareStamped, compareStamps, compareValues, type Stamp } from '../values/stamp.ts';
import type { FieldClocks } from './field-tree.ts';

/** Programs that don't name the type of their values get no checks of it. */
// biome-ignore lint/suspicious/noExplicitAny: a value of the user, of any shape
export type AnyValue = any;

/** A vector clock in the form that entries carry. */
export interface EntryClock {
  readonly entries: Readonly<Record<string, number>>;
}

export interface ConflictEntry<V = AnyValue> extends Stamp {
  readonly value: V;
  /** For VersionVectorStrategy; others pass it on. */
  readonly vectorClock?: EntryClock | undefined;
  /** The caller's; nothing here looks at it. */
  readonly version?: number | undefined;
  /** When fields were written that are older than the entry; for strategies with the option `fieldClocks`. */
  readonly fieldClocks?: FieldClocks | undefined;
}

/** Which side's value it is, whether it was made of both, or by the user's function. */
export type Resolution = 'local' | 'remote' | 'merged' | 'custom';

export interface ConflictResult<V = AnyValue> extends Stamp {
  readonly value: V;
  readonly resolution: Resolution;
  readonly vectorClock?: EntryClock | undefined;
  readonly fieldClocks?: FieldClocks | undefined;
  /** The versions that had not seen each other. */
  readonly conflicts?: readonly ConflictEntry<V>[] | undefined;
}

/** How two versions become one. Implement it to bring your own. */
export interface ResolutionStrategy<V = AnyValue> {
  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V>;
  /** Default: `resolve`. */
  resolveAsync?(local: ConflictEntry<V>, remote: ConflictEntry<V>): Promise<ConflictResult<V>>;
  /** For two entries or more. Default: each with the result of those before it. */
  resolveMultiple?(entries: readonly ConflictEntry<V>[]): ConflictResult<V>;
}

/** Positive when `a` is the later one. Throws CONFLICT_ENTRY_INVALID for entries that can't be ordered. */
export function compareEntries(a: ConflictEntry, b: ConflictEntry): number {
  if (isOrdered(a) && isOrdered(b)) return compareStamped(a, b);
  return compareStamps(stampOf(a), stampOf(b)) || compareValues(a.value, b.value);
}

/** The last of them, the first one of equals. */
export function latest<V>(entries: readonly ConflictEntry<V>[]): ConflictEntry<V> {
  return entries.reduce((last, entry) => (compareEntries(last, entry) >= 0 ? last : entry));
}

/** A missing time, counter and node id are 0, 0 and ''. Throws CONFLICT_ENTRY_INVALID when one is not what it should be. */
export function stampOf(entry: ConflictEntry): Stamp {
  if (typeof entry !== 'object' || entry === null) throw invalid('an entry is no record');
  const { timestamp, counter, nodeId } = entry as Partial<Record<keyof Stamp, unknown>>;
  if (!isTime(timestamp ?? 0)) throw invalid(`its timestamp is ${String(timestamp)}`);
  if (!Number.isSafeInteger(counter ?? 0)) throw invalid(`its counter is ${String(counter)}`);
  if (typeof (nodeId ?? '') !== 'string') throw invalid('its node id is no text');
  return {
    timestamp: (timestamp ?? 0) as number,
    ...(counter ? { counter: counter as number } : {}),
    nodeId: (nodeId ?? '') as string,
  };
}

/** The result that is one of the entries as it stands. */
export function resultOf<V>(winner: ConflictEntry<V>, resolution: Resolution): ConflictResult<V> {
  const { value, vectorClock } = winner;
  const { timestamp, counter, nodeId } = isOrdered(winner) ? winner : stampOf(winner);
  const result: { -readonly [K in keyof ConflictResult<V>]: ConflictResult<V>[K] } = {
    value,
    timestamp,
    nodeId,
    resolution,
  };
  if (counter) result.counter = counter;
  if (vectorClock !== undefined) result.vectorClock = vectorClock;
  return result;
}

/** What all of them together have seen; undefined when none has a clock. */
export function mergeEntryClocks(entries: readonly ConflictEntry[]): EntryClock | undefined {
  const clocks = entries.flatMap(({ vectorClock }) => (vectorClock === undefined ? [] : [vectorClock.entries]));
  if (clocks.length === 0) return undefined;
  return {
    entries: clocks
      .reduce((merged: VectorClock, clock) => VectorClock.merge(merged, clock), new VectorClock())
      .toJSON(),
  };
}

export function invalid(problem: string) {
  return replicationErrors.create('CONFLICT_ENTRY_INVALID', { problem });
}

function isOrdered({ timestamp, counter, nodeId }: ConflictEntry): boolean {
  return isTime(timestamp) && typeof nodeId === 'string' && (counter === undefined || Number.isSafeInteger(counter));
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(value);
}
