/**
 * An event log as a source of an event subscriber: topics are the log's, offsets its sequences (so they begin at 1 and have gaps). Events
 * that were appended here say what they are; of others in the log the type is the verb, and the whole is the payload.
 */
import { type Env, messageOf, systemEnv } from '@canopy/core';
import type { NatsSession, Stream } from '@canopy/nats';
import type { EventLog, Json, LogEvent } from '../ports/event-log.ts';
import type { PipelineSource, SourceBatch, SourceEvent } from '../ports/pipeline-source.ts';
import { isPlainObject } from '../values/canonical.ts';
import { type EventLogOptions, openEventLog } from './jetstream-log.ts';
import { streamOf, subjectOf } from './subjects.ts';
import { checkTopicFilter } from './topic.ts';

export interface SourceAppend {
  readonly verb: string;
  readonly payload: Json;
  /** Also the log's message id: a second append with it within two minutes is not taken. */
  readonly idempotencyKey?: string;
  /** ISO 8601. Default: now. */
  readonly timestamp?: string;
  /** Who says so. Default: the namespace. */
  readonly source?: string;
  readonly isDelta?: boolean;
}

/** What marks an event that was appended here; persistent. */
const FORM = 'canopy.event';
const CONSUME_MAX = 10_000;

/** The source of a namespace. Options and errors as of `openEventLog`. */
export async function jetStreamPipelineSource(
  session: NatsSession,
  options: EventLogOptions,
  env: Env = systemEnv(),
): Promise<JetStreamPipelineSource> {
  const log = await openEventLog(session, options, env);
  const stream = await session.stream(streamOf(options.namespace));
  return new JetStreamPipelineSource(log, stream, options.namespace, env);
}

export class JetStreamPipelineSource implements PipelineSource {
  readonly log: EventLog;
  readonly #stream: Stream;
  readonly #namespace: string;
  readonly #env: Env;
  readonly #pushes = new Map<string, AbortController>();

  /** @internal Use `jetStreamPipelineSource`. */
  constructor(log: EventLog, stream: Stream, namespace: string, env: Env) {
    this.log = log;
    this.#stream = stream;
    this.#namespace = namespace;
    this.#env = env;
  }

  /** Stores an event. Returns its offset; throws what the log's appends throw. */
  async append(topic: string, event: SourceAppend): Promise<number> {
    const { idempotencyKey, verb, payload, isDelta } = event;
    const stored: Json = {
      type: FORM,
      verb,
      payload,
      timestamp: event.timestamp ?? new Date(this.#env.clock.wall()).toISOString(),
      source: event.source ?? this.#namespace,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      ...(isDelta === undefined ? {} : { isDelta }),
    };
    const messageId = idempotencyKey === undefined ? {} : { messageId: `${topic}:${idempotencyKey}` };
    return (await this.log.append(stored, { topic, ...messageId })).sequence;
  }

  /** `offset` is the first that is still there. */
  async connect(topic: string): Promise<{ readonly topic: string; readonly offset: number }> {
    checkTopicFilter(topic);
    const { firstSequence } = await this.log.info();
    return { topic, offset: firstSequence };
  }

  /** Ends the pushes; the session stays open. */
  async disconnect(): Promise<void> {
    for (const topic of [...this.#pushes.keys()]) this.unsubscribe(topic);
  }

  /** Events of the topic (or of a filter) from now on. What a push may have missed, `consume` gives. One per topic; a second takes its place. */
  subscribe(topic: string, callback: (event: SourceEvent) => void): void {
    checkTopicFilter(topic);
    this.unsubscribe(topic);
    const end = new AbortController();
    this.#pushes.set(topic, end);
    void this.#push(topic, callback, end.signal).catch((error) => {
      if (!end.signal.aborted) this.#env.log.error('replication_push_ended', { topic, error: messageOf(error) });
    });
  }

  unsubscribe(topic: string): void {
    this.#pushes.get(topic)?.abort();
    this.#pushes.delete(topic);
  }

  /** At most 10,000 events. What was trimmed is passed over. */
  async consume(topic: string, fromOffset: number, limit: number): Promise<SourceBatch> {
    const events: SourceEvent[] = [];
    const after = Math.max(0, fromOffset - 1);
    const most = Math.max(1, Math.min(limit, CONSUME_MAX));
    for await (const told of this.log.read({ after, topic })) {
      if (told.type === 'event') {
        events.push(this.#toSource(told));
        if (events.length < most) continue;
        const latest = await this.getLatestOffset(topic);
        return { events, nextOffset: told.sequence + 1, hasMore: latest > told.sequence };
      }
      if (told.type === 'trimmed')
        this.#env.log.warn('replication_events_trimmed', { topic, from: fromOffset, first: told.first });
      if (told.type === 'caught-up')
        return { events, nextOffset: Math.max(fromOffset, told.sequence + 1), hasMore: false };
    }
    // The session was closed.
    return { events, nextOffset: (events.at(-1)?.offset ?? fromOffset - 1) + 1, hasMore: false };
  }

  /** -1 when the topic has none. */
  async getLatestOffset(topic: string): Promise<number> {
    const subject = subjectOf(this.#namespace, checkTopicFilter(topic));
    return (await this.#stream.lastMessage(subject))?.sequence ?? -1;
  }

  async #push(topic: string, callback: (event: SourceEvent) => void, signal: AbortSignal): Promise<void> {
    const { lastSequence } = await this.log.info({ signal });
    for await (const told of this.log.read({ after: lastSequence, topic, signal })) {
      if (told.type !== 'event' || signal.aborted) continue;
      try {
        callback(this.#toSource(told));
      } catch (error) {
        this.#env.log.error('replication_listener_failed', { event: 'push', error: messageOf(error) });
      }
    }
  }

  #toSource({ sequence, topic, storedAt, event }: LogEvent): SourceEvent {
    const place = { offset: sequence, topic };
    const given = isPlainObject(event) ? event : {};
    if (given.type !== FORM) {
      const verb = typeof given.type === 'string' ? given.type : 'event';
      const _meta = { namespace: this.#namespace, source: this.log.name };
      return { ...place, verb, timestamp: new Date(storedAt).toISOString(), payload: event, _meta };
    }
    const { verb, payload, timestamp, source, idempotencyKey, isDelta } = given as unknown as SourceAppend;
    return {
      ...place,
      verb,
      payload,
      timestamp: timestamp as string,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      _meta: {
        namespace: this.#namespace,
        source: source as string,
        ...(isDelta === undefined ? {} : { isDelta }),
      },
    };
  }
}
