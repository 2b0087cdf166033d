/**
 * The EventLog on a JetStream stream. The stream port gives order, repetition-free appends and readers that miss nothing; here events
 * become messages, and its errors those of a log.
 */
import { type CanopyError, type Env, hasCode, systemEnv } from '@canopy/core';
import type { NatsSession, Stream, StreamCallOptions, StreamMessage, StreamReadEvent } from '@canopy/nats';
import { replicationErrors } from '../errors.ts';
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  EventLogInfo,
  Json,
  LogReadEvent,
  ReadOptions,
} from '../ports/event-log.ts';
import { decodeEvent, encodeEvent } from './event-json.ts';
import { checkNamespace, streamOf, subjectOf, topicOf } from './subjects.ts';
import { checkTopic, checkTopicFilter, matchesTopic } from './topic.ts';

export interface EventLogOptions {
  /** Logs of different namespaces know nothing of each other. 1 to 128 letters, digits, `-`, `_`. */
  readonly namespace: string;
  /** Make the log when it is missing; else EVENT_LOG_MISSING. Default true. */
  readonly create?: boolean;
  /** Copies of the log. Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  /** Beyond it appends fail with EVENT_LOG_FULL. Default: no limit. */
  readonly maxBytes?: number;
}

/**
 * The log of a namespace. It needs no closing: it ends with the session. Appends through one session share one order. Throws EVENT_LOG_MISSING
 * (with `create: false`), EVENT_LOG_UNAVAILABLE, OPTIONS_INVALID, and STREAM_MISMATCH when it was made with other settings.
 */
export async function openEventLog(
  session: NatsSession,
  options: EventLogOptions,
  env: Env = systemEnv(),
): Promise<EventLog> {
  const { create = true, replicas, maxBytes } = options;
  const namespace = checkNamespace(options.namespace, 'openEventLog');
  const name = streamOf(namespace);
  const stream = await translated(name, 'open', {}, () =>
    create
      ? session.ensureStream(name, {
          subjects: [subjectOf(namespace, '>')],
          ...(replicas === undefined ? {} : { replicas }),
          ...(maxBytes === undefined ? {} : { maxBytes }),
        })
      : session.stream(name),
  );
  return new JetStreamEventLog(stream, namespace, env);
}

class JetStreamEventLog implements EventLog {
  readonly name: string;
  readonly #stream: Stream;
  readonly #namespace: string;
  readonly #env: Env;

  constructor(stream: Stream, namespace: string, env: Env) {
    this.name = stream.name;
    this.#stream = stream;
    this.#namespace = namespace;
    this.#env = env;
  }

  async send(events: readonly unknown[]): Promise<void> {
    const results = await Promise.allSettled(events.map((event) => this.append(event as Json)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async append(event: Json, options: AppendOptions = {}): Promise<AppendResult> {
    const { topic = '', ...rest } = options;
    const subject = subjectOf(this.#namespace, checkTopic(topic));
    const data = Buffer.from(encodeEvent(event), 'utf8');
    return translated(this.name, 'append', options, () => this.#stream.append(subject, data, rest));
  }

  read(options: ReadOptions = {}): AsyncIterableIterator<LogReadEvent, undefined> {
    const { topic, after, signal } = options;
    const filter = topic === undefined ? undefined : subjectOf(this.#namespace, checkTopicFilter(topic));
    const messages = this.#stream
      .read({
        ...(after === undefined ? {} : { after }),
        ...(filter === undefined ? {} : { filter }),
        signal,
      })
      [Symbol.asyncIterator]();
    const translate = (event: StreamReadEvent): LogReadEvent | undefined => {
      if (event.type !== 'message') return event;
      const told = this.#decode(event.message);
      // The filter `>` of the server also lets through what has no topic.
      return told !== undefined && matchesTopic(topic, told.topic) ? told : undefined;
    };
    return translating(messages, translate, (error) => logError(this.name, 'read', {}, error));
  }

  async info(options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {}): Promise<EventLogInfo> {
    const info = await translated(this.name, 'info', options, () => this.#stream.info(options));
    const { firstSequence, lastSequence, createdAt } = info;
    return { firstSequence, lastSequence, createdAt };
  }

  async trim(upTo: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await translated(this.name, 'trim', options, async () => {
      const { firstSequence, lastSequence } = await this.#stream.info(options);
      const last = Math.min(Math.floor(upTo), lastSequence - 1);
      if (last >= firstSequence) await this.#stream.purge(last, options);
    });
  }

  #decode(message: StreamMessage): Extract<LogReadEvent, { type: 'event' }> | undefined {
    const { sequence, storedAt, subject, data } = message;
    const event = decodeEvent(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'));
    const topic = topicOf(this.#namespace, subject);
    if (event !== undefined) return { type: 'event', sequence, storedAt, topic, event };
    // No append of ours makes such a message, so no replica has it.
    this.#env.log.error('replication_event_unreadable', { log: this.name, sequence });
    return undefined;
  }
}

/** No generator: a fast reader would pay for its turns. */
function translating<A, B>(
  source: AsyncIterator<A, unknown>,
  translate: (item: A) => B | undefined,
  fail: (error: unknown) => unknown,
): AsyncIterableIterator<B, undefined> {
  const take = (
    result: IteratorResult<A, unknown>,
  ): IteratorResult<B, undefined> | Promise<IteratorResult<B, undefined>> => {
    if (result.done) return { value: undefined, done: true };
    const value = translate(result.value);
    return value === undefined ? next() : { value, done: false };
  };
  const rejected = (error: unknown): never => {
    throw fail(error);
  };
  const next = (): Promise<IteratorResult<B, undefined>> => source.next().then(take, rejected);
  const iterator: AsyncIterableIterator<B, undefined> = {
    next,
    async return() {
      await source.return?.();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

async function translated<T>(
  log: string,
  operation: string,
  options: StreamCallOptions & { readonly expectedLastSequence?: number },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw logError(log, operation, options, error);
  }
}

function logError(
  log: string,
  operation: string,
  options: { readonly expectedLastSequence?: number },
  error: unknown,
): unknown {
  if (hasCode(error, 'STREAM_CONFLICT')) {
    const expected = options.expectedLastSequence;
    return replicationErrors.create('EVENT_LOG_CONFLICT', { log, expected }, error);
  }
  if (hasCode(error, 'STREAM_MISSING')) return replicationErrors.create('EVENT_LOG_MISSING', { log }, error);
  if (hasCode(error, 'STREAM_FULL')) return replicationErrors.create('EVENT_LOG_FULL', { log }, error);
  if (hasCode(error, 'STREAM_MESSAGE_TOO_LARGE')) {
    const { size, limit } = (error as CanopyError).fields;
    const problem = `it has ${size} bytes, the log takes ${limit}`;
    return replicationErrors.create('EVENT_INVALID', { problem }, error);
  }
  const isAway = ['NATS_UNREACHABLE', 'JETSTREAM_UNAVAILABLE', 'STREAM_BUSY'].some((code) => hasCode(error, code));
  return isAway ? replicationErrors.create('EVENT_LOG_UNAVAILABLE', { log, operation }, error) : error;
}
