/**
 * The records of the log, as DESIGN.md gives them. What is no record of this namespace is passed over by every replica alike, so
 * reading must depend on nothing but the record itself.
 */
import { CanopyError, messageOf } from '@canopy/core';
import { isMergeable, type Mergeable } from '../../crdt/mergeable.ts';
import { encodeRecord } from '../../crdt/record-codec.ts';
import { replicationErrors } from '../../errors.ts';
import type { Json } from '../../ports/event-log.ts';
import { DEPTH_MAX, isPlainObject } from '../../values/canonical.ts';
import { isOperation } from '../plain/pipeline-events.ts';
import type { WriteOperation, WriteRequest } from '../write-request.ts';
import { keyProblem } from '../write-result.ts';

export const EPOCH_TOPIC = 'epoch';
export const WRITE_TOPIC = 'write';

export interface EpochRecord {
  readonly type: 'replication.epoch';
  readonly namespace: string;
  readonly epoch: number;
  readonly node: string;
  /** Tells two claims of one node apart. */
  readonly claim: string;
  readonly timestamp: number;
}

export interface WriteRecord {
  readonly type: 'replication.write';
  readonly namespace: string;
  readonly key: string;
  /** Absent in a delete. */
  readonly value?: Json;
  readonly operation: WriteOperation;
  readonly epoch: number;
  /** Counts the writes of the term, from 1. */
  readonly number: number;
  readonly node: string;
  readonly timestamp: number;
}

/**
 * Shares nothing with what the caller gave: that may change before the log has answered. Its value is encoded. Throws EVENT_INVALID for
 * what would come back as something else.
 */
export function writeRecord(
  request: WriteRequest,
  term: Omit<WriteRecord, 'type' | 'key' | 'value' | 'operation'>,
): WriteRecord {
  const { key, operation } = request;
  const record = { type: 'replication.write', ...term, key, operation } as const;
  return operation === 'delete' ? record : { ...record, value: copyOf(request.value ?? null) };
}

/** As `encodeRecord`, of a copy; dates and whatever else says how it is written as JSON stand as that. */
function copyOf(value: unknown): Json {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
  try {
    const held: Mergeable[] = [];
    const encoded = encodeRecord(plainCopy(value, held, 0));
    // The states of values that merge may be theirs.
    return held.length === 0 ? encoded : (JSON.parse(JSON.stringify(encoded)) as Json);
  } catch (error) {
    const problem = CanopyError.is(error) ? String(error.fields.problem) : messageOf(error);
    throw replicationErrors.create('EVENT_INVALID', { problem }, error);
  }
}

/** What it does not know it leaves, to be refused; what merges it leaves and names. */
function plainCopy(value: unknown, held: Mergeable[], depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return value === 0 ? 0 : value;
  if (isMergeable(value)) {
    held.push(value);
    return value;
  }
  if (Array.isArray(value)) {
    const list: unknown[] = [];
    for (let at = 0; at < value.length; at++) list.push(plainCopy(value[at], held, depth + 1));
    return list;
  }
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') {
    const shown: unknown = toJSON.call(value, '');
    // A date that is none: JSON would make null of it.
    return shown === null ? value : plainCopy(shown, held, depth + 1);
  }
  if (!isPlainObject(value) || Object.getOwnPropertySymbols(value).length > 0) return value;
  const record: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const field = value[name];
    if (field === undefined) continue;
    const copy = plainCopy(field, held, depth + 1);
    if (name !== '__proto__') record[name] = copy;
    else Object.defineProperty(record, name, { value: copy, enumerable: true, writable: true, configurable: true });
  }
  return record;
}

export function messageIdOf(record: EpochRecord | WriteRecord): string {
  const { namespace, epoch } = record;
  return record.type === 'replication.epoch'
    ? `${namespace}:claim:${record.claim}`
    : `${namespace}:${epoch}:${record.number}`;
}

export function parseRecord(event: Json, namespace: string): EpochRecord | WriteRecord | undefined {
  if (!isPlainObject(event)) return undefined;
  const {
    type,
    namespace: of,
    epoch,
    node,
    key,
    operation,
    number,
    claim,
  } = event as unknown as Record<string, unknown>;
  if (of !== namespace || !Number.isSafeInteger(epoch) || typeof node !== 'string') return undefined;
  if (type === 'replication.epoch' && typeof claim === 'string') return event as unknown as EpochRecord;
  const isWrite = type === 'replication.write' && typeof key === 'string' && isOperation(operation);
  return isWrite && Number.isSafeInteger(number) ? (event as unknown as WriteRecord) : undefined;
}

/**
 * Why no store could hold this write; undefined when it can be held. A leader refuses such a write, so it is another writer's. Depends on nothing but the record, as
 * every replica must decide alike.
 */
export function unfitness({ key, value }: WriteRecord): string | undefined {
  return keyProblem(key) ?? (value === undefined ? undefined : valueProblem(value, 0));
}

function valueProblem(value: Json, depth: number): string | undefined {
  if (typeof value === 'number')
    return Number.isFinite(value) ? undefined : 'its value has a number beyond all numbers';
  if (typeof value !== 'object' || value === null) return undefined;
  // Values that merge and wrapped records take up to two levels for one of their owner's.
  if (depth > DEPTH_MAX * 2) return `its value is nested deeper than ${DEPTH_MAX}`;
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) {
      const problem = valueProblem(item, depth + 1);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
  const record = value as { readonly [name: string]: Json };
  for (const name in record) {
    const problem = valueProblem(record[name] as Json, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
