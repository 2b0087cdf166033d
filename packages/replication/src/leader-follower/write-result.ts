/** Answers of writes: what was wrong with a request, and errors as results. */
import { CanopyError, hasCode, messageOf } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import { isOperation } from './plain/pipeline-events.ts';
import type { WriteOptions, WriteRequest, WriteResult } from './write-request.ts';

/** As stores have it. */
const KEY_BYTES_MAX = 1024;
/** Longer ones are no timers of any platform. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** Throws EVENT_INVALID. */
export function validateWrite(request: WriteRequest, { ack, timeoutMs }: WriteOptions): void {
  const { key, operation } = request;
  let problem: string | undefined;
  const unfit = keyProblem(key);
  if (unfit !== undefined) problem = unfit;
  else if (!isOperation(operation)) problem = 'its operation must be create, update or delete';
  else if (ack !== undefined && ack !== 'local' && ack !== 'stream' && followersOf(ack) === undefined)
    problem = 'ack must be local, stream or followers:n';
  else if (timeoutMs !== undefined && !isDuration(timeoutMs))
    problem = `timeoutMs must be a number of milliseconds from 0 to ${TIMEOUT_MAX_MS}`;
  if (problem !== undefined) throw replicationErrors.create('EVENT_INVALID', { problem });
}

/** What no store takes; undefined when they do. It is refused before the log, and passed over in one. */
export function keyProblem(key: unknown): string | undefined {
  if (typeof key !== 'string' || key === '') return 'its key must be a non-empty text';
  if (!key.isWellFormed()) return 'its key is not well-formed Unicode: a half of a surrogate pair stands alone';
  return isTooLong(key) ? `its key is longer than ${KEY_BYTES_MAX} bytes` : undefined;
}

function isTooLong(key: string): boolean {
  return key.length > KEY_BYTES_MAX / 3 && Buffer.byteLength(key) > KEY_BYTES_MAX;
}

function isDuration(ms: unknown): boolean {
  return typeof ms === 'number' && ms >= 0 && ms <= TIMEOUT_MAX_MS;
}

export function isRequest(request: unknown): boolean {
  return typeof request === 'object' && request !== null;
}

export function noRequest(): CanopyError {
  return replicationErrors.create('EVENT_INVALID', { problem: 'a write is a record of key, value and operation' });
}

/** The n of `followers:n`. */
export function followersOf(ack: string): number | undefined {
  const count = /^followers:([1-9]\d{0,3})$/.exec(ack)?.[1];
  return count === undefined ? undefined : Number(count);
}

/** What was thrown on the way of a write, as its answer. */
export function failureOf(error: unknown, request: WriteRequest): WriteResult {
  if (hasCode(error, 'DEADLINE_EXCEEDED') || !CanopyError.is(error)) {
    const fields = { key: request.key, problem: messageOf(error), unknown: hasCode(error, 'DEADLINE_EXCEEDED') };
    return failureOf(replicationErrors.create('REPLICATION_FAILED', fields, error), request);
  }
  const { leaderId, sequence, unknown } = error.fields as Partial<WriteResult>;
  return {
    success: false,
    error: error.message,
    errorCode: error.code,
    ...(leaderId === undefined ? {} : { leaderId }),
    ...(sequence === undefined ? {} : { sequence }),
    ...(unknown === true ? { unknown } : {}),
  };
}
