/** The session's twin, with the knobs of a simulation: cut the connection, heal it. */
import type { Env } from '@canopy/core';
import type { BlobBucketOptions, Blobs } from '../blobs/port.ts';
import type { Bus } from '../bus/port.ts';
import { natsErrors } from '../errors.ts';
import type { Kv, KvBucketOptions, KvEntry } from '../kv/port.ts';
import { checkBucket } from '../kv/subjects.ts';
import type { NatsSession, SessionEvent, SessionStatus } from '../session/port.ts';
import type { Stream, StreamOptions } from '../streams/port.ts';
import { MemoryBlobs } from './blobs.ts';
import { MemoryBus } from './bus.ts';
import type { MemoryNats } from './hub.ts';
import { MemoryKv } from './kv.ts';
import { MemoryStream } from './stream.ts';
import { StreamTable } from './stream-table.ts';
import { Table } from './table.ts';
import { MemoryWire } from './wire.ts';

const OPEN_MS = 10_000;

export class MemorySession implements NatsSession {
  readonly name: string;
  readonly bus: Bus;
  readonly #hub: MemoryNats;
  readonly #wire: MemoryWire;
  readonly #streams = new Map<StreamTable, MemoryStream>();

  constructor(hub: MemoryNats, name: string, env: Env) {
    this.#hub = hub;
    this.name = name;
    this.#wire = new MemoryWire(hub, name, env);
    this.bus = new MemoryBus(this.#wire);
  }

  /** Breaks the connection: watches are interrupted, calls wait for `heal` until their deadlines. */
  cut(reason = 'connection cut'): void {
    this.#wire.cut(reason);
  }

  heal(): void {
    this.#wire.heal();
  }

  kv(bucket: string): Promise<Kv> {
    return this.#open('kv', bucket, () => {
      if (!this.#hub.kvBuckets.has(bucket)) throw natsErrors.create('KV_BUCKET_MISSING', { bucket });
      return new MemoryKv(this.#wire, bucket);
    });
  }

  ensureKv(bucket: string, { firstRevision, ...options }: KvBucketOptions = {}): Promise<Kv> {
    return this.#open('kv', bucket, () => {
      const present = this.#hub.kvBuckets.get(bucket);
      const wanted = { ttlMs: options.ttlMs ?? 0, history: options.history ?? 1 };
      if (present === undefined) {
        const table = new Table<KvEntry>(this.#hub.clock, wanted.ttlMs, firstRevision);
        this.#hub.kvBuckets.set(bucket, { options, table });
      } else requireSame(bucket, { ...options, ...wanted }, { history: 1, ttlMs: 0, ...present.options });
      return new MemoryKv(this.#wire, bucket);
    });
  }

  blobs(bucket: string): Promise<Blobs> {
    return this.#open('blobs', bucket, () => {
      if (!this.#hub.blobBuckets.has(bucket)) throw natsErrors.create('BLOB_BUCKET_MISSING', { bucket });
      return new MemoryBlobs(this.#wire, bucket);
    });
  }

  ensureBlobs(bucket: string, options: BlobBucketOptions = {}): Promise<Blobs> {
    return this.#open('blobs', bucket, () => {
      const present = this.#hub.blobBuckets.get(bucket);
      if (present === undefined)
        this.#hub.blobBuckets.set(bucket, { table: new Table(this.#hub.clock), maxBytes: options.maxBytes });
      else if (options.maxBytes !== undefined)
        requireSame(bucket, { maxBytes: options.maxBytes }, { maxBytes: present.maxBytes });
      return new MemoryBlobs(this.#wire, bucket);
    });
  }

  stream(name: string): Promise<Stream> {
    return this.#open('streams', name, () => this.#stream(name));
  }

  ensureStream(name: string, options: StreamOptions): Promise<Stream> {
    return this.#open('streams', name, () => {
      const present = this.#hub.streams.get(name);
      if (present === undefined) this.#hub.streams.set(name, new StreamTable(name, options, this.#hub.clock));
      else requireStream(name, options, present.options);
      return this.#stream(name);
    });
  }

  /** One object for all callers, so that their appends share one order. */
  #stream(name: string): Stream {
    const table = this.#hub.streams.get(name);
    if (table === undefined) throw natsErrors.create('STREAM_MISSING', { stream: name });
    const known = this.#streams.get(table) ?? new MemoryStream(this.#wire, name);
    this.#streams.set(table, known);
    return known;
  }

  status(): SessionStatus {
    return {
      connected: this.#wire.up,
      server: this.#wire.up ? 'memory' : undefined,
      serverVersion: '0.0.0-memory',
      clusterSize: this.#hub.clusterSize,
      reconnects: this.#wire.reconnects,
    };
  }

  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<SessionEvent> {
    return this.#wire.watch(options);
  }

  async close(): Promise<void> {
    this.#wire.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open<T>(port: 'kv' | 'blobs' | 'streams', bucket: string, work: () => T): Promise<T> {
    const call = { port, operation: 'open', bucket: checkBucket(bucket) } as const;
    return this.#wire.call(call, { timeoutMs: OPEN_MS }, work);
  }
}

function requireSame(bucket: string, wanted: object, present: object): void {
  const actuals = present as Readonly<Record<string, unknown>>;
  for (const [field, expected] of Object.entries(wanted)) {
    const actual = actuals[field];
    if (expected !== undefined && field !== 'replicas' && actual !== expected)
      throw natsErrors.create('KV_BUCKET_MISMATCH', { bucket, field, actual, expected });
  }
}

function requireStream(stream: string, wanted: StreamOptions, present: StreamOptions): void {
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['subjects', [...present.subjects].sort().join(' '), [...wanted.subjects].sort().join(' ')],
    ['maxBytes', present.maxBytes, wanted.maxBytes ?? present.maxBytes],
  ];
  for (const [field, actual, expected] of pairs) {
    if (actual !== expected) throw natsErrors.create('STREAM_MISMATCH', { stream, field, actual, expected });
  }
}
