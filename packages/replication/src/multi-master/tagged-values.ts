/**
 * Values that merge in the data of entities, as they are stored, sent and read: `{"$crdt": "GCounter", "state": …}`, by the codec of `../crdt`. Everything
 * that a master stores or sends passes here, so that a counter is a counter again on the other side of any transport.
 */
import { isMergeable } from '../crdt/mergeable.ts';
import { decodeTagged, encodeTagged, readTagged, TAG } from '../crdt/record-codec.ts';
import { replicationErrors } from '../errors.ts';
import { isPlainObject } from '../values/canonical.ts';

/** What an entity may be, or REPLICATED_VALUE_INVALID. */
export function requireRecord(data: Record<string, unknown>): Record<string, unknown> {
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) return data;
  const problem = 'an entity is a record; delete() takes one away';
  throw replicationErrors.create('REPLICATED_VALUE_INVALID', { problem });
}

/** What JSON carries unchanged. Throws REPLICATED_VALUE_INVALID for what it can't. Fields that are undefined are left out. */
export function encodeData(data: Record<string, unknown>): Record<string, unknown> {
  return copied(encodeTagged(data)) as Record<string, unknown>;
}

/**
 * With values that merge in place of their tags; they belong to no node. What is tagged with a kind that is not known here, or has a state that
 * can't be read, stays as it is.
 */
export function decodeData(data: Record<string, unknown>): Record<string, unknown> {
  return decodeTagged(data) as Record<string, unknown>;
}

/** Whether somewhere in it there is a tagged value. */
export function hasTags(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasTags);
  if (!isPlainObject(value)) return false;
  return isTag(value) || Object.values(value).some(hasTags);
}

/** `after` with what its values that merge had in `before`: a write of a stale counter takes nothing away. Both as encoded. */
export function absorb(before: unknown, after: unknown): unknown {
  if (!isPlainObject(before) || !isPlainObject(after)) return after;
  if (isTag(after)) {
    if (!isTag(before) || before[TAG] !== after[TAG]) return after;
    const [old, now] = [readTagged(before), readTagged(after)];
    return old === undefined || now === undefined ? after : encodeTagged(old.mergedWith(now));
  }
  return Object.fromEntries(Object.entries(after).map(([name, item]) => [name, absorb(before[name], item)]));
}

/** By its look alone: masters that know different kinds must not disagree. A user's own `$crdt` beside other fields is none. */
function isTag(record: Record<PropertyKey, unknown>): boolean {
  return typeof record[TAG] === 'string' && Object.hasOwn(record, 'state') && Object.keys(record).length === 2;
}

/** What the caller gave may change before it is stored. */
function copied(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(copied);
  if (!isPlainObject(json) || isMergeable(json)) return json;
  return Object.fromEntries(Object.entries(json).map(([name, item]) => [name, copied(item)]));
}
