/**
 * The Kv port on a JetStream stream. Reads go to the stream's leader. Conditional writes carry the sequence they expect
 * on the key's subject and an id of their own: a write whose answer was lost is repeated with the same id, and a
 * conflict after such a loss counts as success only if the stored message carries that very id.
 */
import { nuid } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import { streamInfo, streamSubjects } from '../jetstream/buckets.ts';
import { type Delivered, listOnce } from '../jetstream/consumer.ts';
import { isConflict, isFull, isOutOfStorage, JS, refusedWith } from '../jetstream/failures.ts';
import type { StoredMessage } from '../jetstream/message.ts';
import { Budget } from '../session/link.ts';
import type { FeedSource } from '../watch/feed.ts';
import type { Change } from '../watch/mirror.ts';
import { SharedFeed } from '../watch/shared-feed.ts';
import type { Kv, KvBucketInfo, KvCallOptions, KvEntry, KvWatchEvent } from './port.ts';
import { checkKey, keyFilter, kvStream, kvSubject, TICK_KEY } from './subjects.ts';
import { toWatchEvent } from './watch-event.ts';

const TIMEOUT_MS = 5000;
const EMPTY = new Uint8Array(0);
/** Headers count towards the server's limit as well. */
const HEADER_RESERVE = 1024;
const SILENCE_MS = 500;

export class KvAdapter implements Kv {
  readonly bucket: string;
  readonly #api: JetStreamApi;
  readonly #stream: string;
  readonly #ttlMs: number;
  readonly #feeds: SharedFeed<KvEntry>;

  constructor(api: JetStreamApi, bucket: string, ttlMs: number) {
    this.#api = api;
    this.bucket = bucket;
    this.#stream = kvStream(bucket);
    this.#ttlMs = ttlMs;
    this.#feeds = new SharedFeed(api, this.#feedSource());
  }

  async get(key: string, options: KvCallOptions = {}): Promise<KvEntry | undefined> {
    const entry = await this.#last(checkKey(key), `read ${this.bucket}/${key}`, options);
    return entry?.operation === 'put' ? entry : undefined;
  }

  async create(key: string, value: Uint8Array, options: KvCallOptions = {}): Promise<number> {
    const operation = `create ${this.bucket}/${checkKey(key)}`;
    const budget = this.#budget(options);
    let expected = 0;
    for (;;) {
      const outcome = await this.#conditional(operation, key, value, expected, {}, budget);
      if (typeof outcome === 'number') return outcome;
      // The key has a message. If that is a deletion, its revision is what to expect; else somebody was first.
      const present = await this.#last(key, operation, this.#left(budget, operation));
      if (present === undefined) expected = 0;
      else if (present.operation === 'put') throw this.#conflict(key, 0);
      else expected = present.revision;
    }
  }

  async update(key: string, value: Uint8Array, revision: number, options: KvCallOptions = {}): Promise<number> {
    const operation = `update ${this.bucket}/${checkKey(key)}`;
    const outcome = await this.#conditional(operation, key, value, revision, {}, this.#budget(options));
    if (typeof outcome === 'number') return outcome;
    throw this.#conflict(key, revision);
  }

  async delete(key: string, revision: number, options: KvCallOptions = {}): Promise<number> {
    const operation = `delete ${this.bucket}/${checkKey(key)}`;
    const headers = { 'KV-Operation': 'DEL' };
    const outcome = await this.#conditional(operation, key, EMPTY, revision, headers, this.#budget(options));
    if (typeof outcome === 'number') return outcome;
    throw this.#conflict(key, revision);
  }

  async put(key: string, value: Uint8Array, options: KvCallOptions = {}): Promise<number> {
    const operation = `put ${this.bucket}/${checkKey(key)}`;
    this.#checkSize(key, value);
    const ack = await this.#translate(() =>
      this.#api.publish(operation, kvSubject(this.bucket, key), value, {
        stream: this.#stream,
        timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        signal: options.signal,
      }),
    );
    return ack.seq;
  }

  async keys(filter: string | undefined = '>', options: KvCallOptions = {}): Promise<string[]> {
    const accept = keyFilter(filter);
    const found = new Set<string>();
    const operation = `list ${this.bucket}`;
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const query = { stream: this.#stream, filter: kvSubject(this.bucket, filter), headersOnly: true };
    const listed = await this.#translate(() =>
      listOnce(this.#api, operation, { ...query, timeoutMs, signal: options.signal }),
    );
    for (const message of listed) {
      const change = this.#decode(message);
      if (change === undefined || !accept(change.key)) continue;
      if (change.present) found.add(change.key);
      else found.delete(change.key);
    }
    return [...found];
  }

  watch(
    filter: string | readonly string[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<KvWatchEvent> {
    const accept = keyFilter(filter);
    this.#api.link.requireOpen();
    return this.#feeds.current().watch(accept, toWatchEvent, options.signal);
  }

  /** Ends the watches and removes their consumer. */
  close(): Promise<void> {
    return this.#feeds.close();
  }

  async info(options: KvCallOptions = {}): Promise<KvBucketInfo> {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const info = await streamInfo(this.#api, this.#stream, { timeoutMs, signal: options.signal });
    if (info === undefined) throw natsErrors.create('KV_BUCKET_MISSING', { bucket: this.bucket });
    return {
      bucket: this.bucket,
      replicas: info.config.num_replicas,
      ttlMs: Math.round(info.config.max_age / 1e6),
      history: info.config.max_msgs_per_subject,
      createdAt: Date.parse(info.created),
      lastRevision: info.state.last_seq,
      bytes: info.state.bytes,
      maxBytes: info.config.max_bytes > 0 ? info.config.max_bytes : undefined,
    };
  }

  #feedSource(): FeedSource<KvEntry> {
    const stream = this.#stream;
    const source: FeedSource<KvEntry> = {
      stream,
      filter: kvSubject(this.bucket, '>'),
      silenceMs: SILENCE_MS,
      decode: (message) => this.#decode(message),
      probe: async (timeoutMs) => {
        const subject = kvSubject(this.bucket, TICK_KEY);
        return (await this.#api.publish(`tick ${this.bucket}`, subject, EMPTY, { stream, timeoutMs })).seq;
      },
    };
    if (this.#ttlMs === 0) return source;
    return {
      ...source,
      sweep: {
        everyMs: Math.max(this.#ttlMs / 2, 250),
        keys: async (timeoutMs) => {
          const subjects = await streamSubjects(this.#api, stream, source.filter, { timeoutMs });
          return (key) => subjects.has(kvSubject(this.bucket, key));
        },
      },
    };
  }

  #decode(message: Delivered): Change<KvEntry> | undefined {
    const key = message.subject.slice(kvSubject(this.bucket, '').length);
    if (key === TICK_KEY) return undefined;
    const item = toEntry(key, message, message.streamSeq);
    return { key, item, present: item.operation === 'put', vanished: isExpiryMarker(message) };
  }

  /** The last message of the key, deletions included. */
  async #last(key: string, operation: string, options: KvCallOptions): Promise<KvEntry | undefined> {
    const stored = await this.#lastStored(key, operation, options);
    return stored === undefined ? undefined : toEntry(key, stored, stored.seq);
  }

  #lastStored(key: string, operation: string, options: KvCallOptions): Promise<StoredMessage | undefined> {
    const call = { timeoutMs: options.timeoutMs ?? TIMEOUT_MS, signal: options.signal };
    const query = { last_by_subj: kvSubject(this.bucket, key) };
    return this.#translate(() => this.#api.message(operation, this.#stream, query, call));
  }

  /** The new revision, or 'conflict' when the write was certainly refused and never stored. */
  async #conditional(
    operation: string,
    key: string,
    value: Uint8Array,
    expectedSeq: number,
    headers: Readonly<Record<string, string>>,
    budget: Budget,
  ): Promise<number | 'conflict'> {
    this.#checkSize(key, value);
    const messageId = nuid.next();
    const { timeoutMs, signal } = this.#left(budget, operation);
    try {
      const ack = await this.#translate(() =>
        this.#api.publish(operation, kvSubject(this.bucket, key), value, {
          stream: this.#stream,
          timeoutMs,
          signal,
          expectedSeq,
          headers,
          messageId,
        }),
      );
      return ack.seq;
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (!error.afterUnknown) return 'conflict';
      const stored = await this.#lastStored(key, operation, this.#left(budget, operation));
      if (stored?.header('Nats-Msg-Id') === messageId) return stored.seq;
      // Ours may have been stored and overwritten since: nobody can tell any more.
      throw budget.expired(operation);
    }
  }

  #budget(options: KvCallOptions): Budget {
    return new Budget(this.#api.env, options.timeoutMs ?? TIMEOUT_MS, options.signal);
  }

  #left(budget: Budget, operation: string): { timeoutMs: number; signal: AbortSignal | undefined } {
    if (budget.spent) throw budget.expired(operation);
    return { timeoutMs: budget.leftMs, signal: budget.signal };
  }

  #checkSize(key: string, value: Uint8Array): void {
    const limit = this.#api.link.maxPayload - HEADER_RESERVE;
    if (value.length > limit)
      throw natsErrors.create('KV_VALUE_TOO_LARGE', { bucket: this.bucket, key, size: value.length, limit });
  }

  #conflict(key: string, expected: number): Error {
    return natsErrors.create('KV_CONFLICT', { bucket: this.bucket, key, expected });
  }

  async #translate<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (refusedWith(error, JS.streamNotFound))
        throw natsErrors.create('KV_BUCKET_MISSING', { bucket: this.bucket }, error);
      if (isFull(error)) throw natsErrors.create('BUCKET_FULL', { bucket: this.bucket }, error);
      if (isOutOfStorage(error))
        throw natsErrors.create('NATS_STORAGE_FULL', { stream: `KV_${this.bucket}`, reason: error.description }, error);
      throw error;
    }
  }
}

/**
 * A bucket with markers has the server write one where an entry expires. That is no deletion by anybody: it happens by
 * the server's clock, and whoever held the key may not know yet. Other markers (`Purge`, `Remove`) are an operator's.
 */
function isExpiryMarker(message: Pick<StoredMessage, 'header'>): boolean {
  return message.header('Nats-Marker-Reason') === 'MaxAge' && message.header('KV-Operation') === undefined;
}

function toEntry(
  key: string,
  message: Pick<StoredMessage, 'data' | 'header' | 'writtenAt'>,
  revision: number,
): KvEntry {
  const deleted = message.header('KV-Operation') !== undefined || message.header('Nats-Marker-Reason') !== undefined;
  const value = deleted ? EMPTY : message.data;
  return { key, value, revision, operation: deleted ? 'delete' : 'put', writtenAt: message.writtenAt };
}
