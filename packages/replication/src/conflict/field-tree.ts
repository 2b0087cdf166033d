/**
 * A value taken apart into fields, each with the stamp of its last write, so that versions merge field by field. A node has
 * an atom (a value that is taken as a whole), fields (a plain object), a value that merges, or several of them from several
 * versions; what shows is decided only when it is put together again. Joining two nodes takes the greater of each, so the order
 * of joining is nothing. An atom that is written over an object erases what was older in it.
 */
import { isMergeable, MERGEABLE, type Mergeable } from '../crdt/mergeable.ts';
import { DEPTH_MAX, isPlainObject } from '../values/canonical.ts';
import { compareStamps, compareValues, type Stamp } from '../values/stamp.ts';

/** In an atom: the field was removed. */
export const REMOVED: unique symbol = Symbol('removed');
/** In an atom: an object has been written over its value, which can't show again. */
export const HIDDEN: unique symbol = Symbol('hidden');

/** When the fields of a value were written that were not written with the entry itself. */
export interface FieldClocks {
  readonly at: Stamp;
  /** What is older than this was overwritten as a whole. */
  readonly floor?: Stamp;
  readonly removed?: true;
  readonly fields?: Readonly<Record<string, FieldClocks>>;
}

export interface Atom {
  readonly stamp: Stamp;
  readonly value: unknown;
}

export interface FieldNode {
  readonly atom?: Atom | undefined;
  readonly mergeable?: Mergeable | undefined;
  /** The last write of an object here. */
  readonly objectAt?: Stamp | undefined;
  readonly fields?: ReadonlyMap<PropertyKey, FieldNode> | undefined;
}

export interface ReadRules {
  /** Values that merge are kept apart and merged; objects without one in them are atoms, except the whole value. */
  readonly crdt: boolean;
  /** A property that is `undefined` removes the field; else it is nothing. */
  readonly removals?: boolean;
}

/** Takes a value apart. Cycles, and objects more than 500 deep, are atoms. */
export function readTree(value: unknown, stamp: Stamp, clocks: FieldClocks | undefined, rules: ReadRules): FieldNode {
  const path: unknown[] = [];
  const read = (part: unknown, clock: FieldClocks | undefined): FieldNode => {
    if (rules.crdt && isMergeable(part)) return { mergeable: part };
    if (!isPlainObject(part) || path.includes(part) || path.length >= DEPTH_MAX) return { atom: atomOf(part, clock) };
    if (rules.crdt && path.length > 0 && !holdsMergeable(part)) return { atom: atomOf(part, clock) };
    path.push(part);
    const fields = new Map<PropertyKey, FieldNode>();
    for (const [name, inner] of Object.entries(clock?.fields ?? {}))
      if (inner.removed && !Object.hasOwn(part, name)) fields.set(name, { atom: { stamp: inner.at, value: REMOVED } });
    for (const key of Reflect.ownKeys(part)) {
      const field = part[key];
      const inner = typeof key === 'string' ? ownField(clock?.fields, key) : undefined;
      if (field !== undefined) fields.set(key, read(field, inner));
      else if (rules.removals) fields.set(key, { atom: { stamp, value: REMOVED } });
    }
    path.pop();
    const atom = clock?.floor && { stamp: clock.floor, value: HIDDEN };
    return pruned({ atom, objectAt: clock?.at ?? stamp, fields });
  };
  const atomOf = (part: unknown, clock: FieldClocks | undefined): Atom => ({ stamp: clock?.at ?? stamp, value: part });
  return read(value, clocks);
}

/** A new node with the greater of each part of both. */
export function joinTrees(a: FieldNode, b: FieldNode): FieldNode {
  const fields = new Map(a.fields);
  for (const [key, theirs] of b.fields ?? []) {
    const mine = fields.get(key);
    fields.set(key, mine === undefined ? theirs : joinTrees(mine, theirs));
  }
  return pruned({
    atom: greater(a.atom, b.atom, compareAtoms),
    mergeable: joinMergeables(a.mergeable, b.mergeable),
    objectAt: greater(a.objectAt, b.objectAt, compareStamps),
    fields,
  });
}

/** The value that shows; `undefined` for one that was removed. Values that merge are copies. Names of fields are sorted. */
export function showTree(node: FieldNode): unknown {
  if (node.mergeable !== undefined) return node.mergeable.mergedWith(node.mergeable);
  if (!showsObject(node))
    return typeof node.atom?.value === 'symbol' && isMark(node.atom.value) ? undefined : node.atom?.value;
  const fields = [...(node.fields ?? [])].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return Object.fromEntries(
    fields.flatMap(([key, field]): [PropertyKey, unknown][] => {
      const value = showTree(field);
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

/** The clocks of everything that was not written at `stamp`; undefined when all of it was. */
export function clocksOf(node: FieldNode, stamp: Stamp): FieldClocks | undefined {
  if (node.mergeable !== undefined) return undefined;
  const { atom, objectAt } = node;
  if (!showsObject(node)) {
    if (atom === undefined) return undefined;
    if (atom.value === REMOVED) return { at: atom.stamp, removed: true };
    return compareStamps(atom.stamp, stamp) === 0 ? undefined : { at: atom.stamp };
  }
  const inner = [...(node.fields ?? [])].flatMap(([key, field]): [string, FieldClocks][] => {
    const clocks = typeof key === 'string' ? clocksOf(field, stamp) : undefined;
    return clocks === undefined ? [] : [[key as string, clocks]];
  });
  if (inner.length === 0 && atom === undefined && compareStamps(objectAt as Stamp, stamp) === 0) return undefined;
  return {
    at: objectAt as Stamp,
    ...(atom === undefined ? {} : { floor: atom.stamp }),
    ...(inner.length === 0 ? {} : { fields: Object.fromEntries(inner.sort(([a], [b]) => (a < b ? -1 : 1))) }),
  };
}

/** An object shows unless an atom was written later; one with values that merge in it always does. */
function showsObject(node: FieldNode): boolean {
  if (node.objectAt === undefined) return false;
  return node.atom === undefined || compareStamps(node.objectAt, node.atom.stamp) >= 0 || hasMergeable(node);
}

/** Without what the node's own atom has overwritten. */
function pruned(node: FieldNode): FieldNode {
  if (node.atom === undefined || node.objectAt === undefined) return node;
  const without = cut({ ...node, atom: undefined }, node.atom.stamp);
  return { ...without, mergeable: node.mergeable, atom: node.atom };
}

/** What is at least as late as `floor`, and all values that merge. */
function cut(node: FieldNode, floor: Stamp): FieldNode {
  const isLate = (stamp: Stamp | undefined): boolean => stamp !== undefined && compareStamps(stamp, floor) >= 0;
  const fields = new Map<PropertyKey, FieldNode>();
  for (const [key, field] of node.fields ?? []) {
    const kept = cut(field, floor);
    if (kept.atom ?? kept.objectAt ?? kept.mergeable) fields.set(key, kept);
  }
  return {
    atom: isLate(node.atom?.stamp) ? node.atom : undefined,
    mergeable: node.mergeable,
    objectAt: fields.size > 0 || isLate(node.objectAt) ? node.objectAt : undefined,
    fields,
  };
}

function joinMergeables(a: Mergeable | undefined, b: Mergeable | undefined): Mergeable | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  // A field that holds another type on another replica keeps the type that is greater by name.
  if (a[MERGEABLE] !== b[MERGEABLE]) return a[MERGEABLE] > b[MERGEABLE] ? a : b;
  return a.mergedWith(b);
}

function greater<T>(a: T | undefined, b: T | undefined, compare: (a: T, b: T) => number): T | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compare(a, b) >= 0 ? a : b;
}

function compareAtoms(a: Atom, b: Atom): number {
  return compareStamps(a.stamp, b.stamp) || rank(a.value) - rank(b.value) || compareValues(a.value, b.value);
}

function rank(value: unknown): number {
  return value === HIDDEN ? 0 : value === REMOVED ? 1 : 2;
}

function isMark(value: symbol): boolean {
  return value === REMOVED || value === HIDDEN;
}

function hasMergeable(node: FieldNode): boolean {
  if (node.mergeable !== undefined) return true;
  for (const field of node.fields?.values() ?? []) if (hasMergeable(field)) return true;
  return false;
}

/** Looks through plain objects only. */
function holdsMergeable(value: unknown, path: readonly unknown[] = []): boolean {
  if (isMergeable(value)) return true;
  if (!isPlainObject(value) || path.includes(value) || path.length >= DEPTH_MAX) return false;
  const inner = [...path, value];
  return Reflect.ownKeys(value).some((key) => holdsMergeable(value[key], inner));
}

function ownField(fields: FieldClocks['fields'], name: string): FieldClocks | undefined {
  return fields !== undefined && Object.hasOwn(fields, name) ? fields[name] : undefined;
}
