/** A bucket in memory for the shell's tests: conditional writes, a watch, and switches for what may go wrong. */
import { Broadcast } from '@canopy/core';
import { type Kv, type KvBucketInfo, type KvEntry, type KvWatchEvent, natsErrors } from '@canopy/nats';

export class TinyKv implements Kv {
  readonly bucket = 'elections';
  readonly #entries = new Map<string, KvEntry>();
  readonly #events = new Broadcast<KvWatchEvent>();
  #revision = 0;
  ttlMs = 0;
  /** Requests reject. */
  down = false;
  /** Writes land, their answers are lost. */
  deaf = false;
  writes = 0;

  async get(key: string): Promise<KvEntry | undefined> {
    this.#check();
    const entry = this.#entries.get(key);
    return entry?.operation === 'put' ? entry : undefined;
  }

  async create(key: string, value: Uint8Array): Promise<number> {
    const entry = this.#entries.get(key);
    return this.#write(key, 'put', value, entry?.operation === 'put' ? -1 : (entry?.revision ?? 0));
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<number> {
    return this.#write(key, 'put', value, revision);
  }

  async put(key: string, value: Uint8Array): Promise<number> {
    return this.#write(key, 'put', value, this.#entries.get(key)?.revision ?? 0);
  }

  async delete(key: string, revision: number): Promise<number> {
    return this.#write(key, 'delete', new Uint8Array(), revision);
  }

  async keys(): Promise<string[]> {
    return [...this.#entries.keys()];
  }

  watch(_filter: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<KvWatchEvent> {
    const present = [...this.#entries.values()].filter((entry) => entry.operation === 'put');
    const first: KvWatchEvent[] = present.map((entry) => ({ type: 'entry', entry }));
    return this.#events.watch({ ...options, first: [...first, { type: 'synced' }] });
  }

  async info(): Promise<KvBucketInfo> {
    return {
      bucket: this.bucket,
      replicas: 1,
      ttlMs: this.ttlMs,
      history: 1,
      createdAt: 0,
      lastRevision: this.#revision,
      bytes: 0,
      maxBytes: undefined,
    };
  }

  async #write(key: string, operation: 'put' | 'delete', value: Uint8Array, expected: number): Promise<number> {
    this.#check();
    this.writes += 1;
    if ((this.#entries.get(key)?.revision ?? 0) !== expected)
      throw natsErrors.create('KV_CONFLICT', { bucket: this.bucket, key, expected });
    this.#revision += 1;
    const entry: KvEntry = { key, value, revision: this.#revision, operation, writtenAt: 0 };
    this.#entries.set(key, entry);
    this.#events.send({ type: 'entry', entry });
    if (this.deaf) throw natsErrors.create('JETSTREAM_UNAVAILABLE', { operation: 'write' });
    return entry.revision;
  }

  #check(): void {
    if (this.down) throw natsErrors.create('JETSTREAM_UNAVAILABLE', { operation: 'test' });
  }
}
