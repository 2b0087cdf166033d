/**
 * What the platform's process and the database process say to each other over Node's IPC channel (advanced
 * serialisation: undefined survives). Calls have numbers; every call gets exactly one `result` or `error`.
 */
import {
  CanopyError,
  type ConnectionSpec,
  type DatabaseEvent,
  type DatabaseStatus,
  type LogFields,
  type LogLevel,
  messageOf,
  type Position,
} from '@canopy/core';
import type { ResolvedSqliteOptions } from '../database/options.ts';

/** Everything that the database process needs to know. */
export interface DatabaseSpec {
  /** Absolute. */
  readonly path: string;
  readonly platform: string;
  readonly app: string;
  readonly node: string;
  readonly connection: ConnectionSpec;
  readonly options: ResolvedSqliteOptions;
  /** Where the log is. Default: bucket `{platform}_{app}_wal` behind `connection`. */
  readonly store?: StoreSpec;
  /**
   * Nobody manages the programs that use the file: a primary that stops leaves it in WAL mode, and a file that is not the
   * log's is refused (SQLITE_FOREIGN_FILE) instead of being kept aside and made anew.
   */
  readonly unmanaged?: boolean;
  /** A log that is not there is an error (BLOB_BUCKET_MISSING), also on a node that has never seen it. */
  readonly mustExist?: boolean;
}

export type StoreSpec =
  | { readonly kind: 'nats'; readonly bucket: string }
  | { readonly kind: 'directory'; readonly path: string };

export type CallMethod = 'start' | 'promote' | 'demote' | 'sync' | 'waitFor' | 'admin' | 'ping' | 'stop';

/** A process may serve several databases: every message, in both directions, names the one that it is about. */
export interface Addressed<M> {
  /** Given by the parent; never used twice for one process. */
  readonly db: number;
  readonly message: M;
}

export type ToDatabase =
  | { readonly type: 'open'; readonly spec: DatabaseSpec }
  | { readonly type: 'call'; readonly id: number; readonly method: CallMethod; readonly argument: unknown }
  | { readonly type: 'abort'; readonly id: number; readonly reason: string };

/** An event as it travels: an Error becomes its JSON form. */
export type EventMessage = Exclude<DatabaseEvent, { type: 'failed' }> | { type: 'failed'; error: ErrorMessage };

export type FromDatabase =
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: ErrorMessage }
  | { readonly type: 'shipped'; readonly id: number; readonly position: Position }
  | { readonly type: 'status'; readonly status: DatabaseStatus }
  | { readonly type: 'event'; readonly event: EventMessage }
  | { readonly type: 'log'; readonly level: LogLevel; readonly event: string; readonly fields: LogFields };

export interface ErrorMessage {
  readonly code?: string;
  readonly name: string;
  readonly message: string;
  readonly hint?: string;
  readonly retryable?: boolean;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export function encodeError(error: unknown): ErrorMessage {
  if (CanopyError.is(error))
    return { name: 'CanopyError', ...(JSON.parse(JSON.stringify(error)) as Omit<ErrorMessage, 'name'>) };
  return { name: error instanceof Error ? error.name : 'Error', message: messageOf(error) };
}

export function decodeError(data: ErrorMessage): Error {
  if (data.code !== undefined) return CanopyError.fromJSON({ ...data, code: data.code });
  if (data.name === 'AbortError') return new DOMException(data.message, 'AbortError');
  return new Error(data.message);
}

export function encodeEvent(event: DatabaseEvent): EventMessage {
  return event.type === 'failed' ? { type: 'failed', error: encodeError(event.error) } : event;
}

export function decodeEvent(event: EventMessage): DatabaseEvent {
  return event.type === 'failed' ? { type: 'failed', error: decodeError(event.error) } : event;
}
