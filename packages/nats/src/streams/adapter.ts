/** The Stream port on JetStream. */
import { natsErrors } from '../errors.ts';
import type { CallOptions, JetStreamApi } from '../jetstream/api.ts';
import { streamInfo } from '../jetstream/buckets.ts';
import { JS, refusedWith } from '../jetstream/failures.ts';
import type { StoredMessage } from '../jetstream/message.ts';
import { APPEND_MS, Appender } from './appender.ts';
import { DurableConsumer, openDurable } from './durable.ts';
import type {
  Stream,
  StreamAppended,
  StreamAppendOptions,
  StreamCallOptions,
  StreamConsumer,
  StreamConsumerOptions,
  StreamMessage,
  StreamReadEvent,
  StreamReadOptions,
  StreamStatus,
} from './port.ts';
import { readStream } from './reader.ts';

export class StreamAdapter implements Stream {
  readonly name: string;
  readonly #api: JetStreamApi;
  readonly #appender: Appender;
  readonly #closing = new AbortController();
  readonly #removals = new Set<Promise<void>>();

  constructor(api: JetStreamApi, name: string) {
    this.#api = api;
    this.name = name;
    this.#appender = new Appender(api, name);
  }

  async append(subject: string, data: Uint8Array, options: StreamAppendOptions = {}): Promise<StreamAppended> {
    return this.#appender.append(subject, data, options);
  }

  read(options: StreamReadOptions = {}): AsyncIterable<StreamReadEvent> {
    this.#api.link.requireOpen();
    const { signal } = options;
    const until = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    return readStream(this.#api, this.name, { ...options, signal: until }, this.#removals);
  }

  async message(sequence: number, options: StreamCallOptions = {}): Promise<StreamMessage | undefined> {
    return this.#message({ seq: sequence }, options);
  }

  async lastMessage(filter: string, options: StreamCallOptions = {}): Promise<StreamMessage | undefined> {
    return this.#message({ last_by_subj: filter }, options);
  }

  async purge(upTo: number, options: StreamCallOptions = {}): Promise<number> {
    const body = { seq: upTo + 1 };
    const operation = `purge ${this.name}`;
    const { purged } = await this.#translate(() =>
      this.#api.call<{ purged: number }>(operation, `STREAM.PURGE.${this.name}`, body, bounds(options)),
    );
    return purged;
  }

  async info(options: StreamCallOptions = {}): Promise<StreamStatus> {
    const info = await streamInfo(this.#api, this.name, bounds(options));
    if (info === undefined) throw natsErrors.create('STREAM_MISSING', { stream: this.name });
    const { state, config } = info;
    return {
      name: this.name,
      replicas: config.num_replicas,
      createdAt: Date.parse(info.created),
      firstSequence: state.messages === 0 ? state.last_seq + 1 : state.first_seq,
      lastSequence: state.last_seq,
      messages: state.messages,
      bytes: state.bytes,
      maxBytes: config.max_bytes > 0 ? config.max_bytes : undefined,
      serverTime: info.ts === undefined ? undefined : Date.parse(info.ts),
    };
  }

  async consumer(name: string, options: StreamConsumerOptions & StreamCallOptions = {}): Promise<StreamConsumer> {
    await this.#translate(() => openDurable(this.#api, this.name, name, options, bounds(options)));
    return new DurableConsumer(this.#api, this.name, name);
  }

  async removeConsumer(name: string, options: StreamCallOptions = {}): Promise<void> {
    const subject = `CONSUMER.DELETE.${this.name}.${name}`;
    try {
      await this.#translate(() => this.#api.call(`remove consumer ${name}`, subject, undefined, bounds(options)));
    } catch (error) {
      if (!refusedWith(error, JS.consumerNotFound)) throw error;
    }
  }

  /** Ends the readings and removes their consumers. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#removals);
  }

  async #message(
    query: { last_by_subj: string } | { seq: number },
    options: StreamCallOptions,
  ): Promise<StreamMessage | undefined> {
    const operation = `read ${this.name}`;
    const stored = await this.#translate(() => this.#api.message(operation, this.name, query, bounds(options)));
    return stored === undefined ? undefined : ofStored(stored);
  }

  async #translate<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (refusedWith(error, JS.streamNotFound))
        throw natsErrors.create('STREAM_MISSING', { stream: this.name }, error);
      throw error;
    }
  }
}

function bounds(options: StreamCallOptions): CallOptions {
  return { timeoutMs: options.timeoutMs ?? APPEND_MS, signal: options.signal };
}

function ofStored({ subject, seq, data, writtenAt, header }: StoredMessage): StreamMessage {
  return { subject, sequence: seq, data, storedAt: writtenAt, header };
}
