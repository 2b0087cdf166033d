/**
 * What masters tell each other, as it travels. Events of entities are numbered by their author without gaps: the author's own entry
 * in `vectorClock` is the number, the other entries are what the author had seen. Do not change the names.
 */
import { emptyClockRecord } from '../clock/clock-record.ts';
import { VectorClock } from '../clock/vector-clock.ts';
import { replicationErrors } from '../errors.ts';
import { isPlainObject } from '../values/canonical.ts';

export type ClockRecord = Readonly<Record<string, number>>;

/** A change of one entity. `hlc`, `version` and the rest after it are ours; events without them are understood too. */
export interface MasterEvent {
  readonly type: 'write' | 'delete';
  readonly masterId: string;
  readonly entityId: string;
  readonly entityType: string;
  readonly data: Record<string, unknown>;
  readonly vectorClock: ClockRecord;
  /** Milliseconds of the hybrid clock. */
  readonly timestamp: number;
  /** The hybrid timestamp, whose counter orders what falls into one millisecond. */
  readonly hlc?: string;
  /** `$version` of the entity as its author wrote it. */
  readonly version?: number;
  /** It was written to settle a conflict. */
  readonly resolution?: boolean;
  /** Which life of the author's store it comes from. Only in a log. */
  readonly incarnation?: string;
}

/** An event that was looked at: everything there, nothing else. */
export interface Change {
  readonly deleted: boolean;
  readonly author: string;
  readonly number: number;
  readonly entityId: string;
  readonly entityType: string;
  readonly data: Record<string, unknown>;
  readonly clock: ClockRecord;
  readonly wallMs: number;
  readonly counter: number;
  readonly version: number | undefined;
  readonly resolution: boolean;
  readonly incarnation: string | undefined;
  /** Why it has no effect but to be counted; absent: it has one. */
  readonly problem?: string;
}

const HLC = /^([0-9a-f]{12})-([0-9a-f]{4})-/;
/** Longer names are looked at by `VectorClock`. */
const NODE_ID_PLAIN = 64;
/** What stores take as a key. */
const ID_BYTES_MAX = 1024;

/** Throws MASTER_EVENT_INVALID for what is no event. */
export function readMasterEvent(json: unknown): Change {
  if (!isPlainObject(json)) throw invalid('it is no record');
  const { type, masterId, entityType, data, timestamp, version, incarnation } = json;
  const entityId = checkEntityId(json.entityId);
  if (type !== 'write' && type !== 'delete') throw invalid(`its type is ${JSON.stringify(type)}`);
  if (typeof masterId !== 'string' || masterId === '') throw invalid('its masterId is missing');
  const clock = readClock(json.vectorClock);
  const number = clock[masterId] ?? 0;
  if (number < 1) throw invalid('its vectorClock does not count its own author');
  if (type === 'write' && !isPlainObject(data)) throw invalid('its data is no record');
  if (typeof timestamp !== 'number' || !Number.isFinite(timestamp)) throw invalid('its timestamp is no number');
  const hlc = typeof json.hlc === 'string' ? HLC.exec(json.hlc) : null;
  return {
    deleted: type === 'delete',
    author: masterId,
    number,
    entityId,
    entityType: typeof entityType === 'string' && entityType !== '' ? entityType : 'Entity',
    data: isPlainObject(data) ? (data as Record<string, unknown>) : {},
    clock,
    wallMs: hlc === null ? timestamp : Number.parseInt(hlc[1] as string, 16),
    counter: hlc === null ? 0 : Number.parseInt(hlc[2] as string, 16),
    version: Number.isSafeInteger(version) ? (version as number) : undefined,
    resolution: json.resolution === true,
    incarnation: typeof incarnation === 'string' ? incarnation : undefined,
  };
}

/**
 * An event of the log. One whose content is no good, but whose author and number can be told, is a change without effect: left
 * out it would be a hole, at which all of that author's later events wait for ever. The same at every master.
 */
export function readLoggedEvent(json: unknown): Change {
  try {
    return readMasterEvent(json);
  } catch (error) {
    const change = isPlainObject(json) ? changeWithoutEffect(json, (error as Error).message) : undefined;
    if (change === undefined) throw error;
    return change;
  }
}

/** No more of it than is needed to wait for its turn: what no store can hold is left out. */
export function numberOnly({ author, clock, incarnation }: Change): MasterEvent {
  const named = { type: 'write', masterId: author, vectorClock: clock } as const;
  return { ...named, ...(incarnation === undefined ? {} : { incarnation }) } as MasterEvent;
}

function changeWithoutEffect(json: Record<PropertyKey, unknown>, problem: string): Change | undefined {
  const { type, masterId: author, incarnation } = json;
  if ((type !== 'write' && type !== 'delete') || typeof author !== 'string' || !author.isWellFormed()) return undefined;
  const clock = soundClock(json.vectorClock, author);
  const number = clock?.[author] ?? 0;
  if (clock === undefined || number < 1) return undefined;
  const none = { entityId: '', entityType: '', data: {}, wallMs: 0, counter: 0, version: undefined };
  const life = typeof incarnation === 'string' ? incarnation : undefined;
  return { ...none, deleted: false, author, number, clock, resolution: false, incarnation: life, problem };
}

/** The clock, or no more of it than its author's number. */
function soundClock(json: unknown, author: string): ClockRecord | undefined {
  for (const part of [
    json,
    isPlainObject(json) && Object.hasOwn(json, author) ? { [author]: json[author] } : undefined,
  ])
    try {
      return readClock(part);
    } catch {
      // The next one has less in it.
    }
  return undefined;
}

/** An id that every master's store can keep, or MASTER_EVENT_INVALID: one that can't be stored would stop whoever reads it. */
export function checkEntityId(id: unknown): string {
  if (typeof id !== 'string' || id === '') throw invalid('its entityId is missing');
  if (id.length * 3 > ID_BYTES_MAX && Buffer.byteLength(id) > ID_BYTES_MAX)
    throw invalid(`its entityId is longer than ${ID_BYTES_MAX} bytes`);
  if (!id.isWellFormed()) throw invalid('its entityId is not well-formed Unicode');
  return id;
}

/** The event of a change, for the wire. */
export function writeMasterEvent(change: Change): MasterEvent {
  const { author, entityId, entityType, data, clock, wallMs, counter, version, resolution, incarnation } = change;
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return {
    type: change.deleted ? 'delete' : 'write',
    masterId: author,
    entityId,
    entityType,
    data,
    vectorClock: clock,
    timestamp: wallMs,
    hlc: `${hex(wallMs, 12)}-${hex(counter, 4)}-${author}`,
    ...(version === undefined ? {} : { version }),
    ...(resolution ? { resolution } : {}),
    ...(incarnation === undefined ? {} : { incarnation }),
  };
}

/** A vector clock as a record that no name can reach a prototype of. Throws MASTER_EVENT_INVALID. */
export function readClock(json: unknown): ClockRecord {
  const clock = emptyClockRecord();
  if (isPlainObject(json) && copySound(json, clock)) return clock;
  try {
    const nodes = json instanceof VectorClock ? json : VectorClock.fromJSON(json);
    for (const node of nodes.getNodes()) clock[node] = nodes.get(node);
    return clock;
  } catch (error) {
    throw invalid((error as Error).message, error);
  }
}

/** In the order of the names, which is how clocks are stored. False when something in it is no counter: `VectorClock` says what. */
function copySound(json: Record<string, unknown>, clock: Record<string, number>): boolean {
  const nodes = Object.keys(json);
  if (nodes.length > 1) nodes.sort();
  for (const node of nodes) {
    const counter = json[node];
    if (!Number.isSafeInteger(counter) || (counter as number) < 0 || node === '' || node.length > NODE_ID_PLAIN)
      return false;
    clock[node] = counter as number;
  }
  return true;
}

function invalid(problem: string, cause?: unknown) {
  return replicationErrors.create('MASTER_EVENT_INVALID', { problem }, cause);
}
