/**
 * The records of the log, as DESIGN.md gives them. What is no record of this namespace is passed over by every replica alike, so
 * reading must depend on nothing but the record itself.
 */
import { messageOf } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import type { Json } from '../../ports/event-log.ts';
import { isPlainObject } from '../../values/canonical.ts';
import { isOperation } from '../plain/pipeline-events.ts';
import type { WriteOperation, WriteRequest } from '../write-request.ts';

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

/** Shares nothing with what the caller gave: that may change before the log has answered. Throws EVENT_INVALID. */
export function writeRecord(
  request: WriteRequest,
  term: Omit<WriteRecord, 'type' | 'key' | 'value' | 'operation'>,
): WriteRecord {
  const { key, operation } = request;
  const record = { type: 'replication.write', ...term, key, operation } as const;
  return operation === 'delete' ? record : { ...record, value: copyOf(request.value ?? null) };
}

function copyOf(value: unknown): Json {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
  let problem = 'its value is nothing that JSON can carry';
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return JSON.parse(text) as Json;
  } catch (error) {
    problem = messageOf(error);
  }
  throw replicationErrors.create('EVENT_INVALID', { problem });
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
