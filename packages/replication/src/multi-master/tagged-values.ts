/**
 * Values that merge, in JSON: `{"$crdt": "GCounter", "state": …}`. Everything that a master stores or sends passes here, so that a counter
 * is a counter again on the other side of any transport.
 */
import { EnableWinsFlag } from '../crdt/enable-wins-flag.ts';
import { GCounter } from '../crdt/g-counter.ts';
import { GSet } from '../crdt/g-set.ts';
import { LWWMap } from '../crdt/lww-map.ts';
import { LWWRegister } from '../crdt/lww-register.ts';
import { isMergeable, MERGEABLE, type Mergeable } from '../crdt/mergeable.ts';
import { MVRegister } from '../crdt/mv-register.ts';
import { ORSet } from '../crdt/or-set.ts';
import { PNCounter } from '../crdt/pn-counter.ts';
import { replicationErrors } from '../errors.ts';
import { DEPTH_MAX, isPlainObject } from '../values/canonical.ts';

/** Do not change: it is stored and sent. */
export const TAG = '$crdt';

type Reader = (state: unknown, nodeId?: string) => Mergeable;
const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['EnableWinsFlag', (state, node) => EnableWinsFlag.fromJSON(state, node)],
  ['GCounter', (state, node) => GCounter.fromJSON(state, node)],
  ['GSet', (state) => GSet.fromJSON(state)],
  ['LWWMap', (state, node) => LWWMap.fromJSON(state, node)],
  ['LWWRegister', (state, node) => LWWRegister.fromJSON(state, node)],
  ['MVRegister', (state, node) => MVRegister.fromJSON(state, node)],
  ['ORSet', (state, node) => ORSet.fromJSON(state, node)],
  ['PNCounter', (state, node) => PNCounter.fromJSON(state, node)],
]);

/** What an entity may be, or REPLICATED_VALUE_INVALID. */
export function requireRecord(data: Record<string, unknown>): Record<string, unknown> {
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) return data;
  throw invalid('an entity is a record; delete() takes one away');
}

/** A copy that JSON carries unchanged. Throws REPLICATED_VALUE_INVALID for what it can't. Fields that are undefined are left out. */
export function encodeData(data: Record<string, unknown>): Record<string, unknown> {
  return encode(data, 0) as Record<string, unknown>;
}

/** With values that merge in place of their tags; they belong to no node. What is tagged with an unknown type stays as it is. */
export function decodeData(data: Record<string, unknown>): Record<string, unknown> {
  return decode(data) as Record<string, unknown>;
}

/** Whether somewhere in it there is a tagged value. */
export function hasTags(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasTags);
  if (!isPlainObject(value)) return false;
  return typeof value[TAG] === 'string' || Object.values(value).some(hasTags);
}

/** `after` with what its values that merge had in `before`: a write of a stale counter takes nothing away. Both as encoded. */
export function absorb(before: unknown, after: unknown): unknown {
  if (!isPlainObject(before) || !isPlainObject(after)) return after;
  const kind = after[TAG];
  if (typeof kind === 'string') {
    const reader = before[TAG] === kind ? READERS.get(kind) : undefined;
    return reader === undefined ? after : encode(reader(before.state).mergedWith(reader(after.state)), 0);
  }
  return Object.fromEntries(Object.entries(after).map(([name, item]) => [name, absorb(before[name], item)]));
}

function encode(value: unknown, depth: number): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (depth > DEPTH_MAX) throw invalid(`it is nested deeper than ${DEPTH_MAX}, or contains itself`);
  if (isMergeable(value)) return { [TAG]: value[MERGEABLE], state: value.toJSON() };
  if (Array.isArray(value)) return value.map((item) => encode(item, depth + 1));
  if (!isPlainObject(value))
    throw invalid(`a ${typeof value === 'object' ? 'class instance' : typeof value} in it would not survive JSON`);
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    if (value[name] === undefined) continue;
    const item = encode(value[name], depth + 1);
    if (name === '__proto__')
      Object.defineProperty(copy, name, { value: item, enumerable: true, configurable: true, writable: true });
    else copy[name] = item;
  }
  return copy;
}

function decode(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decode);
  if (!isPlainObject(value)) return value;
  const kind = value[TAG];
  const reader = typeof kind === 'string' ? READERS.get(kind) : undefined;
  if (reader !== undefined) return reader(value.state);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

function invalid(problem: string) {
  return replicationErrors.create('REPLICATED_VALUE_INVALID', { problem });
}
