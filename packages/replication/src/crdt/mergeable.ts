/**
 * What a value needs so that replicas can merge it without a conflict. Merging is commutative, associative and idempotent,
 * and a change only ever adds: `old.mergedWith(changed)` equals `changed`. Values are known by a symbol that two copies of
 * this package share.
 */
import { replicationErrors } from '../errors.ts';

export const MERGEABLE: unique symbol = Symbol.for('canopy.mergeable');

export interface Mergeable {
  /** Name of the type; only values of one type merge. */
  readonly [MERGEABLE]: string;
  /** A new value that has all of both; neither is changed. */
  mergedWith(other: Mergeable): Mergeable;
  /** The whole state. Equal states give equal JSON, except of documents of others: they have a `fingerprint`. */
  toJSON(): unknown;
}

/** True for every value that merges: our types, and the adapters that hold documents of others. */
export function isMergeable(value: unknown): value is Mergeable {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Mergeable>)[MERGEABLE] === 'string';
}

/** Throws CRDT_KIND_MISMATCH unless `other` was made by the same class as `mine`. */
export function checkKind(mine: Mergeable, other: unknown): void {
  if (other instanceof mine.constructor) return;
  const kind = isMergeable(other) ? other[MERGEABLE] : other === null ? 'null' : typeof other;
  throw replicationErrors.create('CRDT_KIND_MISMATCH', { kind: mine[MERGEABLE], other: kind });
}
