/**
 * An ordered, durable log of events: the pipeline that replication can rest on. One log has one order, the same for everybody,
 * told by sequences that grow (gaps are legal: deletions and limits leave them). An event is in the log once it was
 * acknowledged, and stays until retention removes it from the front.
 */
import type { Pipeline } from './pipeline.ts';

/** What JSON can carry unchanged. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

export interface LogEvent {
  /** Grows along the log, from 1. */
  readonly sequence: number;
  /** The log's wall clock when it took the event, Unix ms. For people and for retention. */
  readonly storedAt: number;
  /** The topic that it was appended under; '' when none was given. */
  readonly topic: string;
  readonly event: Json;
}

/**
 * What a reader sees. Events in the order of the log, each once; `caught-up` when the reader has everything that the log had
 * at some moment after the last interruption (then changes as they happen); `trimmed` when events that it
 * wanted are no longer there: the next one that is has `first` as its sequence or a greater one, so a replica needs a snapshot
 * first. A reader with a filter may be told so although nothing that matched has gone. After `interrupted` the reader goes on by itself, without a gap and without repetition.
 */
export type LogReadEvent =
  | ({ readonly type: 'event' } & LogEvent)
  | { readonly type: 'caught-up'; readonly sequence: number }
  | { readonly type: 'trimmed'; readonly first: number }
  | { readonly type: 'interrupted'; readonly reason: string };

export interface AppendOptions {
  /**
   * Name tokens joined by `.` (letters, digits, `-`, `_`, at most 200 characters): readers may filter by it. Default: none.
   */
  readonly topic?: string;
  /** An append with an id that the log has taken within its duplicate window (two minutes) is not taken again. */
  readonly messageId?: string;
  /**
   * Only when the log's last sequence is this (0: the log is empty). Else EVENT_LOG_CONFLICT. One that expects the end that an append still
   * on its way would make builds on that one: it fails with it, also when somebody else made that end.
   */
  readonly expectedLastSequence?: number;
  readonly signal?: AbortSignal | undefined;
  /** Bound on the call, retries included. Default 5 s. */
  readonly timeoutMs?: number;
}

export interface AppendResult {
  /** Of a duplicate: the sequence of the first one. */
  readonly sequence: number;
  readonly duplicate: boolean;
}

export interface ReadOptions {
  /** The first event wanted has a greater sequence than this. Default 0: from the front. */
  readonly after?: number;
  /** A topic, with `*` for one token and `>` for the rest. Default: all events. */
  readonly topic?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface EventLogInfo {
  /** The first event that is still there; `lastSequence + 1` when there is none. */
  readonly firstSequence: number;
  /** 0 when nothing was ever appended. */
  readonly lastSequence: number;
  /** When the log was made, Unix ms: another value means that it was made again, and sequences mean something else. */
  readonly createdAt: number;
}

/**
 * Every call may throw EVENT_LOG_MISSING, EVENT_LOG_UNAVAILABLE (certainly not carried out), DEADLINE_EXCEEDED (the outcome is unknown: an
 * append may be repeated with the same `messageId`), NATS_CLOSED when the session ends meanwhile (unknown as well), and the signal's reason; appends also EVENT_LOG_CONFLICT, EVENT_LOG_FULL and
 * EVENT_INVALID (not JSON, or larger than the log takes).
 */
export interface EventLog extends Pipeline {
  readonly name: string;
  /**
   * Resolves when the event is stored on a quorum. Appends of one caller may be begun at once and enter the log in the order of their calls;
   * one that fails is not repeated behind a later one that was stored.
   */
  append(event: Json, options?: AppendOptions): Promise<AppendResult>;
  read(options?: ReadOptions): AsyncIterable<LogReadEvent>;
  info(options?: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number }): Promise<EventLogInfo>;
  /**
   * Removes everything up to and including this sequence, the log's last event excepted. Only for what a snapshot covers. A
   * second call with a smaller sequence does nothing.
   */
  trim(upTo: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

export function isEventLog(pipeline: Pipeline): pipeline is EventLog {
  const { append, read, info } = pipeline as Partial<EventLog>;
  return typeof append === 'function' && typeof read === 'function' && typeof info === 'function';
}
