/**
 * The NatsSession on a real connection. Buckets are opened once and shared, so that all watchers of a bucket in this
 * process share one watch.
 */
import { withDeadline } from '@canopy/core';
import { BlobsAdapter } from '../blobs/adapter.ts';
import type { BlobBucketOptions, Blobs } from '../blobs/port.ts';
import { BusAdapter } from '../bus/adapter.ts';
import type { Bus } from '../bus/port.ts';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import { blobStreamConfig, ensureStream, kvStreamConfig, type StreamInfo, streamInfo } from '../jetstream/buckets.ts';
import { KvAdapter } from '../kv/adapter.ts';
import type { Kv, KvBucketOptions } from '../kv/port.ts';
import { checkBucket } from '../kv/subjects.ts';
import { StreamAdapter } from '../streams/adapter.ts';
import { openStream } from '../streams/open.ts';
import type { Stream, StreamOptions } from '../streams/port.ts';
import type { NatsSession, SessionEvent, SessionStatus } from './port.ts';

const OPEN_MS = 10_000;
const TIDY_MS = 1000;

export class Session implements NatsSession {
  readonly bus: Bus;
  readonly #api: JetStreamApi;
  readonly #closeConnection: () => Promise<void>;
  readonly #kvs = new Map<string, { createdAt: string; kv: KvAdapter }>();
  readonly #blobs = new Map<string, BlobsAdapter>();
  readonly #streams = new Map<string, { createdAt: string; stream: StreamAdapter }>();
  #closing: Promise<void> | undefined;

  constructor(api: JetStreamApi, closeConnection: () => Promise<void>) {
    this.#api = api;
    this.#closeConnection = closeConnection;
    this.bus = new BusAdapter(api.link);
  }

  async kv(bucket: string): Promise<Kv> {
    this.#api.link.requireOpen();
    const info = await streamInfo(this.#api, `KV_${checkBucket(bucket)}`, { timeoutMs: OPEN_MS });
    if (info === undefined) throw natsErrors.create('KV_BUCKET_MISSING', { bucket });
    return this.#kv(bucket, info);
  }

  async ensureKv(bucket: string, options: KvBucketOptions = {}): Promise<Kv> {
    this.#api.link.requireOpen();
    const settings = {
      ttlMs: options.ttlMs ?? 0,
      history: options.history ?? 1,
      replicas: options.replicas,
      maxBytes: options.maxBytes,
      firstRevision: options.firstRevision,
    };
    const config = (replicas: number): object => kvStreamConfig(checkBucket(bucket), settings, replicas);
    return this.#kv(bucket, await ensureStream(this.#api, bucket, config, settings, { timeoutMs: OPEN_MS }));
  }

  async blobs(bucket: string): Promise<Blobs> {
    this.#api.link.requireOpen();
    const info = await streamInfo(this.#api, `OBJ_${checkBucket(bucket)}`, { timeoutMs: OPEN_MS });
    if (info === undefined) throw natsErrors.create('BLOB_BUCKET_MISSING', { bucket });
    return this.#blob(bucket);
  }

  async ensureBlobs(bucket: string, options: BlobBucketOptions = {}): Promise<Blobs> {
    this.#api.link.requireOpen();
    const settings = { ttlMs: 0, history: -1, replicas: options.replicas, maxBytes: options.maxBytes };
    const config = (replicas: number): object => blobStreamConfig(checkBucket(bucket), settings, replicas);
    await ensureStream(this.#api, bucket, config, settings, { timeoutMs: OPEN_MS });
    return this.#blob(bucket);
  }

  async stream(name: string): Promise<Stream> {
    this.#api.link.requireOpen();
    const info = await streamInfo(this.#api, checkBucket(name), { timeoutMs: OPEN_MS });
    if (info === undefined) throw natsErrors.create('STREAM_MISSING', { stream: name });
    return this.#stream(name, info);
  }

  async ensureStream(name: string, options: StreamOptions): Promise<Stream> {
    this.#api.link.requireOpen();
    return this.#stream(name, await openStream(this.#api, checkBucket(name), options, { timeoutMs: OPEN_MS }));
  }

  status(): SessionStatus {
    return this.#api.link.status();
  }

  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<SessionEvent> {
    return this.#api.link.watch(options);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const kvs = [...this.#kvs.values()].map(({ kv }) => kv);
    const streams = [...this.#streams.values()].map(({ stream }) => stream);
    const watches = [...kvs, ...this.#blobs.values(), ...streams];
    const closing = Promise.allSettled(watches.map((bucket) => bucket.close()));
    // Without a connection there is nothing to tidy: the server drops a consumer that nobody listens to.
    const { link, env } = this.#api;
    if (link.connected) await withDeadline(env.clock, 'close watches', TIDY_MS, closing).catch(() => {});
    link.shut();
    await closing;
    await this.#closeConnection();
  }

  /** A bucket that was made anew gets a new object: what the old one's watch knew is about another bucket. */
  #kv(bucket: string, info: StreamInfo): Kv {
    const known = this.#kvs.get(bucket);
    if (known !== undefined && known.createdAt === info.created) return known.kv;
    const kv = new KvAdapter(this.#api, bucket, Math.round(info.config.max_age / 1e6));
    this.#kvs.set(bucket, { createdAt: info.created, kv });
    return kv;
  }

  /** One object for all callers, so that their appends share one order; another for a stream that was made anew. */
  #stream(name: string, info: StreamInfo): Stream {
    const known = this.#streams.get(name);
    if (known !== undefined && known.createdAt === info.created) return known.stream;
    const stream = new StreamAdapter(this.#api, name);
    this.#streams.set(name, { createdAt: info.created, stream });
    return stream;
  }

  #blob(bucket: string): Blobs {
    const known = this.#blobs.get(bucket);
    if (known !== undefined) return known;
    const blobs = new BlobsAdapter(this.#api, bucket);
    this.#blobs.set(bucket, blobs);
    return blobs;
  }
}
