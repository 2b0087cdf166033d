/**
 * Records whose fields may be values that merge, as JSON and back. Such a value becomes `{ "$crdt": kind, "state": … }`. A record of
 * the user's that has a property `$crdt` itself is wrapped as `{ "$crdt": "", "state": … }`, so nothing that a user writes can be taken for
 * a tag. Everything else is its own JSON. Persisted format: do not change.
 *
 * Masters have users who read the JSON, change it and write it again: there (`encodeTagged`, `decodeTagged`) tags stay tags, nothing is wrapped,
 * and what does not read as a value of a kind known here stays the field that it is. So each field fares by itself.
 */
import { replicationErrors } from '../errors.ts';
import type { Json } from '../ports/event-log.ts';
import { DEPTH_MAX, isPlainObject } from '../values/canonical.ts';
import { EnableWinsFlag } from './enable-wins-flag.ts';
import { GCounter } from './g-counter.ts';
import { GSet } from './g-set.ts';
import { LWWMap } from './lww-map.ts';
import { LWWRegister } from './lww-register.ts';
import { isMergeable, MERGEABLE, type Mergeable } from './mergeable.ts';
import { MVRegister } from './mv-register.ts';
import { ORSet } from './or-set.ts';
import { PNCounter } from './pn-counter.ts';
import { StateReader } from './state-reader.ts';

export const TAG = '$crdt';
const STATE = 'state';
/** The kind that is none. */
const ESCAPED = '';
const READER = new StateReader('record');

/** Restores a value of one kind; `nodeId` is the node that goes on changing it. */
export type RecordType = (state: unknown, nodeId?: string) => Mergeable;

const TYPES = new Map<string, RecordType>(
  [EnableWinsFlag, GCounter, LWWMap, LWWRegister, MVRegister, ORSet, PNCounter, GSet].map((type) => [
    new (type as new () => Mergeable)()[MERGEABLE],
    (state, nodeId) => (type as { fromJSON(state: unknown, nodeId?: string): Mergeable }).fromJSON(state, nodeId),
  ]),
);

/** Lets records hold values of one more kind: a document of another library, or a type of the user's. The last one of a kind stands. */
export function registerRecordType(kind: string, read: RecordType): void {
  TYPES.set(kind, read);
}

/**
 * What a store or a log can keep. Values without values that merge come back as they are, not copied. Throws REPLICATED_VALUE_INVALID
 * for what JSON would change (dates, NaN, instances of classes, cycles) and for a value that merges whose kind is not registered.
 * Properties that are undefined are left out.
 */
export function encodeRecord(value: unknown): Json {
  return encode(value, 0, false) as Json;
}

/** As `encodeRecord`; but what is tagged already stays so, and kinds that are not registered are taken. */
export function encodeTagged(value: unknown): Json {
  return encode(value, 0, true) as Json;
}

/** As `decodeRecord`; but what is tagged with a kind that is not known here, or has a state that can't be read, stays as it is. */
export function decodeTagged(json: unknown): unknown {
  if (Array.isArray(json)) return items(json, decodeTagged);
  if (!isPlainObject(json)) return json;
  return readTagged(json) ?? fields(json, decodeTagged);
}

/** The value whose tag this is; undefined when it is none that can be read here. */
export function readTagged(record: Record<PropertyKey, unknown>): Mergeable | undefined {
  const { [TAG]: kind, [STATE]: state } = record;
  const type = typeof kind === 'string' && Object.hasOwn(record, STATE) ? TYPES.get(kind) : undefined;
  if (type === undefined || Object.keys(record).length !== 2) return undefined;
  try {
    return type(state);
  } catch {
    return undefined;
  }
}

/**
 * A new value, or the same where nothing is tagged. `nodeId`: who goes on changing the values that merge; without one they can be read and
 * merged. Throws CRDT_STATE_INVALID for a kind that is not known here and for states that are damaged.
 */
export function decodeRecord(json: unknown, nodeId?: string): unknown {
  return decode(json, nodeId, 0);
}

function encode(value: unknown, depth: number, tagsStay: boolean): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (depth > DEPTH_MAX) throw notReplicable(`it is nested deeper than ${DEPTH_MAX}, or contains itself`);
  if (isMergeable(value)) return tagged(value, tagsStay);
  if (Array.isArray(value)) return items(value, (item) => encode(item, depth + 1, tagsStay));
  if (!isPlainObject(value)) throw notReplicable(`a ${nameOf(value)} in it would not survive JSON`);
  if (Object.getOwnPropertySymbols(value).length > 0) throw notReplicable('a symbol in it would not survive JSON');
  const record = fields(value, (field) => (field === undefined ? undefined : encode(field, depth + 1, tagsStay)));
  return !tagsStay && Object.hasOwn(value, TAG) ? { [TAG]: ESCAPED, [STATE]: record } : record;
}

function tagged(value: Mergeable, isAnyKind: boolean): unknown {
  const kind = value[MERGEABLE];
  if (!isAnyKind && !TYPES.has(kind))
    throw notReplicable(`nothing here could restore a ${kind} of it; import its module, or registerRecordType()`);
  return { [TAG]: kind, [STATE]: value.toJSON() };
}

function decode(json: unknown, nodeId: string | undefined, depth: number): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (depth > DEPTH_MAX * 2) throw READER.invalid('it is nested too deep');
  const inner = (item: unknown): unknown => decode(item, nodeId, depth + 1);
  if (Array.isArray(json)) return items(json, inner);
  const record = json as Record<string, unknown>;
  if (!Object.hasOwn(record, TAG)) return fields(record, inner);
  const { [TAG]: kind, [STATE]: state } = record;
  if (kind === ESCAPED) return fields(READER.record(state, 'an escaped record'), inner);
  const type = typeof kind === 'string' ? TYPES.get(kind) : undefined;
  if (type === undefined) throw READER.invalid(`it holds a ${JSON.stringify(kind)}, which is not known here`);
  return type(state, nodeId);
}

/** The list itself when no item changes. */
function items(list: readonly unknown[], change: (item: unknown) => unknown): readonly unknown[] {
  let made: unknown[] | undefined;
  for (let i = 0; i < list.length; i++) {
    const item = change(list[i]);
    if (made === undefined && item !== list[i]) made = list.slice(0, i);
    made?.push(item);
  }
  return made ?? list;
}

/** The record itself when no field changes: most have nothing to change, and are not worth a copy. */
function fields(record: Record<PropertyKey, unknown>, change: (field: unknown) => unknown): object {
  const names = Object.keys(record);
  let made: [string, unknown][] | undefined;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const field = change(record[name]);
    if (made === undefined && field !== record[name]) made = names.slice(0, i).map((each) => [each, record[each]]);
    made?.push([name, field]);
  }
  return made === undefined ? record : Object.fromEntries(made);
}

function nameOf(value: unknown): string {
  if (typeof value === 'number') return String(value);
  return typeof value === 'object' ? (value?.constructor?.name ?? 'object') : typeof value;
}

function notReplicable(problem: string) {
  return replicationErrors.create('REPLICATED_VALUE_INVALID', { problem });
}
