/** The Kv port's twin. */
import { natsErrors } from '../errors.ts';
import type { Kv, KvBucketInfo, KvCallOptions, KvEntry, KvWatchEvent } from '../kv/port.ts';
import { checkKey, keyFilter } from '../kv/subjects.ts';
import { toWatchEvent } from '../kv/watch-event.ts';
import type { MemoryKvBucket } from './hub.ts';
import type { Table } from './table.ts';
import { watchTable } from './watch.ts';
import type { MemoryWire } from './wire.ts';

const TIMEOUT_MS = 5000;
const EMPTY = new Uint8Array(0);

export class MemoryKv implements Kv {
  readonly bucket: string;
  readonly #wire: MemoryWire;

  constructor(wire: MemoryWire, bucket: string) {
    this.#wire = wire;
    this.bucket = bucket;
  }

  async get(key: string, options: KvCallOptions = {}): Promise<KvEntry | undefined> {
    return this.#call('get', checkKey(key), options, (table) => table.get(key));
  }

  async create(key: string, value: Uint8Array, options: KvCallOptions = {}): Promise<number> {
    return this.#call('create', checkKey(key), options, (table) => {
      if (table.get(key) !== undefined) throw this.#conflict(key, 0);
      return this.#write(table, key, value);
    });
  }

  async update(key: string, value: Uint8Array, revision: number, options: KvCallOptions = {}): Promise<number> {
    return this.#call('update', checkKey(key), options, (table) => {
      if (table.revisionOf(key) !== revision) throw this.#conflict(key, revision);
      return this.#write(table, key, value);
    });
  }

  async put(key: string, value: Uint8Array, options: KvCallOptions = {}): Promise<number> {
    return this.#call('put', checkKey(key), options, (table) => this.#write(table, key, value));
  }

  async delete(key: string, revision: number, options: KvCallOptions = {}): Promise<number> {
    return this.#call('delete', checkKey(key), options, (table) => {
      if (table.revisionOf(key) !== revision) throw this.#conflict(key, revision);
      return this.#write(table, key, undefined);
    });
  }

  async keys(filter = '>', options: KvCallOptions = {}): Promise<string[]> {
    const accept = keyFilter(filter);
    return this.#call('keys', filter, options, (table) => [...table.present()].map(([key]) => key).filter(accept));
  }

  watch(
    filter: string | readonly string[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<KvWatchEvent> {
    this.#wire.requireOpen();
    const call = { port: 'kv', operation: 'watch', bucket: this.bucket } as const;
    const table = (): Table<KvEntry> | undefined => this.#wire.hub.kvBuckets.get(this.bucket)?.table;
    return watchTable(this.#wire, table, call, keyFilter(filter), toWatchEvent, options.signal);
  }

  async info(options: KvCallOptions = {}): Promise<KvBucketInfo> {
    return this.#call('info', '', options, (table, bucket) => {
      let bytes = 0;
      for (const [key, { value }] of table.present()) bytes += key.length + value.length;
      return {
        bucket: this.bucket,
        replicas: bucket.options.replicas ?? 1,
        ttlMs: table.ttlMs,
        history: bucket.options.history ?? 1,
        createdAt: table.createdAt,
        lastRevision: table.revision,
        bytes,
        maxBytes: bucket.options.maxBytes,
      };
    });
  }

  #write(table: Table<KvEntry>, key: string, value: Uint8Array | undefined): number {
    const entry = table.write(key, value !== undefined, (revision) => ({
      key,
      // A copy: what the caller does to its buffer afterwards is its own affair.
      value: value === undefined ? EMPTY : Uint8Array.from(value),
      revision,
      operation: value === undefined ? 'delete' : 'put',
      writtenAt: this.#wire.env.clock.wall(),
    }));
    return entry.revision;
  }

  #call<T>(
    operation: string,
    key: string,
    options: KvCallOptions,
    work: (table: Table<KvEntry>, bucket: MemoryKvBucket) => T,
  ): Promise<T> {
    const call = { port: 'kv', operation, bucket: this.bucket, key } as const;
    const bounds = { timeoutMs: options.timeoutMs ?? TIMEOUT_MS, signal: options.signal };
    return this.#wire.call(call, bounds, () => {
      const bucket = this.#wire.hub.kvBuckets.get(this.bucket);
      if (bucket === undefined) throw natsErrors.create('KV_BUCKET_MISSING', { bucket: this.bucket });
      return work(bucket.table, bucket);
    });
  }

  #conflict(key: string, expected: number): Error {
    return natsErrors.create('KV_CONFLICT', { bucket: this.bucket, key, expected });
  }
}
