/** The Blobs port's twin. */

import type {
  Blob,
  BlobBucketInfo,
  BlobCallOptions,
  BlobDeleteOptions,
  BlobInfo,
  BlobPutOptions,
  BlobSource,
  BlobSweep,
  Blobs,
  BlobWatchEvent,
} from '../blobs/port.ts';
import { natsErrors } from '../errors.ts';
import type { StoredBlob } from './hub.ts';
import type { Table } from './table.ts';
import { watchTable } from './watch.ts';
import type { MemoryWire } from './wire.ts';

const TIMEOUT_MS = 10_000;
const TRANSFER_MS = 60_000;
const READ_MAX_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;

export class MemoryBlobs implements Blobs {
  readonly bucket: string;
  readonly #wire: MemoryWire;

  constructor(wire: MemoryWire, bucket: string) {
    this.#wire = wire;
    this.bucket = bucket;
  }

  async put(name: string, data: BlobSource, options: BlobPutOptions = {}): Promise<BlobInfo> {
    checkName(name);
    const bytes = await collect(data, options.signal);
    const timeoutMs = options.timeoutMs ?? (data instanceof Uint8Array ? TIMEOUT_MS : TRANSFER_MS);
    return this.#call('put', name, { ...options, timeoutMs }, (table, maxBytes) => {
      if (options.createOnly && table.get(name) !== undefined)
        throw natsErrors.create('BLOB_EXISTS', { bucket: this.bucket, name });
      if (maxBytes !== undefined && sizeOf(table) + bytes.length > maxBytes)
        throw natsErrors.create('BUCKET_FULL', { bucket: this.bucket });
      const writtenAt = this.#wire.env.clock.wall();
      const headers = { ...options.headers };
      return table.write(name, true, (revision) => ({
        revision,
        info: { name, size: bytes.length, revision, headers, writtenAt },
        bytes,
      })).info;
    });
  }

  async get(name: string, options: BlobCallOptions = {}): Promise<Blob | undefined> {
    checkName(name);
    const stored = await this.#call('get', name, options, (table) => table.get(name));
    return stored === undefined ? undefined : { info: stored.info, data: pieces(stored.bytes, options.signal) };
  }

  async read(
    name: string,
    options: BlobCallOptions & { maxBytes?: number } = {},
  ): Promise<{ info: BlobInfo; bytes: Uint8Array } | undefined> {
    checkName(name);
    const stored = await this.#call('read', name, options, (table) => table.get(name));
    if (stored === undefined) return undefined;
    const { maxBytes: limit = READ_MAX_BYTES } = options;
    const { size } = stored.info;
    if (size > limit) throw natsErrors.create('BLOB_TOO_LARGE', { bucket: this.bucket, name, size, limit });
    return { info: stored.info, bytes: Uint8Array.from(stored.bytes) };
  }

  async info(name: string, options: BlobCallOptions = {}): Promise<BlobInfo | undefined> {
    checkName(name);
    return this.#call('info', name, options, (table) => table.get(name)?.info);
  }

  async list(prefix = '', options: BlobCallOptions = {}): Promise<BlobInfo[]> {
    return this.#call('list', prefix, options, (table) =>
      [...table.present()].filter(([name]) => name.startsWith(prefix)).map(([, { info }]) => info),
    );
  }

  async delete(name: string, options: BlobCallOptions = {}): Promise<void> {
    checkName(name);
    await this.#call('delete', name, options, (table) => table.purge(name));
  }

  async deleteInOrder(names: AsyncIterable<string> | Iterable<string>, options: BlobDeleteOptions = {}): Promise<void> {
    for await (const name of names) {
      await this.delete(name, options);
      options.onDeleted?.(name);
    }
  }

  watch(prefix: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<BlobWatchEvent> {
    this.#wire.requireOpen();
    const call = { port: 'blobs', operation: 'watch', bucket: this.bucket } as const;
    const table = (): Table<StoredBlob> | undefined => this.#wire.hub.blobBuckets.get(this.bucket)?.table;
    return watchTable<StoredBlob, BlobWatchEvent>(
      this.#wire,
      table,
      call,
      (name) => name.startsWith(prefix),
      (event) => {
        if (event.type !== 'change') return event;
        const { item, present, key } = event.change;
        return present ? { type: 'put', blob: item.info } : { type: 'deleted', name: key };
      },
      options.signal,
    );
  }

  async bucketInfo(options: BlobCallOptions = {}): Promise<BlobBucketInfo> {
    return this.#call('bucketInfo', '', options, (table, maxBytes) => ({
      bucket: this.bucket,
      replicas: 1,
      createdAt: table.createdAt,
      now: this.#wire.env.clock.wall(),
      bytes: sizeOf(table),
      maxBytes,
      discard: 'new' as const,
      clusterSize: this.#wire.hub.clusterSize,
      lastRevision: table.revision,
    }));
  }

  /** Nothing is ever left half-way here. */
  async sweep(options: BlobCallOptions & { olderThanMs: number }): Promise<BlobSweep> {
    return this.#call('sweep', '', options, () => ({ orphans: 0 }));
  }

  #call<T>(
    operation: string,
    key: string,
    options: BlobCallOptions,
    work: (table: Table<StoredBlob>, maxBytes: number | undefined) => T,
  ): Promise<T> {
    const call = { port: 'blobs', operation, bucket: this.bucket, key } as const;
    const bounds = { timeoutMs: options.timeoutMs ?? TIMEOUT_MS, signal: options.signal };
    return this.#wire.call(call, bounds, () => {
      const bucket = this.#wire.hub.blobBuckets.get(this.bucket);
      if (bucket === undefined) throw natsErrors.create('BLOB_BUCKET_MISSING', { bucket: this.bucket });
      return work(bucket.table, bucket.maxBytes);
    });
  }
}

function checkName(name: string): void {
  if (name !== '' && name.length <= 512) return;
  throw natsErrors.create('NAME_REFUSED', { kind: 'object', name, allowed: '1 to 512 characters' });
}

function sizeOf(table: Table<StoredBlob>): number {
  let bytes = 0;
  for (const [, blob] of table.present()) bytes += blob.bytes.length;
  return bytes;
}

async function collect(data: BlobSource, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (data instanceof Uint8Array) return Uint8Array.from(data);
  const parts: Uint8Array[] = [];
  for await (const part of data) {
    signal?.throwIfAborted();
    parts.push(Uint8Array.from(part));
  }
  return new Uint8Array(Buffer.concat(parts));
}

async function* pieces(bytes: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    signal?.throwIfAborted();
    yield bytes.slice(at, at + PIECE_BYTES);
  }
}
