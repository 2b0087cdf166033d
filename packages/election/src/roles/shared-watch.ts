/**
 * One watch on a bucket for any number of its keys: each message goes straight to whoever follows that key, so that its
 * cost does not grow with the number of followers. Invariant: a follower gets the present entry and `synced` first, as from a
 * watch of its own.
 */
import { Broadcast } from '@canopy/core';
import type { Kv, KvBucketInfo, KvCallOptions, KvEntry, KvWatchEvent } from '@canopy/nats';

/** A follower that falls this many events of one key behind has lost the oldest. */
const CAPACITY = 1024;

/** The bucket as its elections see it: `watch` of a single key is served from the one watch, the rest passes through. */
export class SharedWatchKv implements Kv {
  readonly bucket: string;
  readonly #kv: Kv;
  readonly #followers = new Map<string, Broadcast<KvWatchEvent>>();
  readonly #present = new Map<string, KvEntry>();
  /** The value of our last write to a key. Its echo tells nothing that the answer does not: it goes no further. */
  readonly #written = new Map<string, Uint8Array>();
  #info: Promise<KvBucketInfo> | undefined;
  #synced = false;

  constructor(kv: Kv) {
    this.#kv = kv;
    this.bucket = kv.bucket;
  }

  /** Runs the one watch until the signal aborts or it ends; rejects as it does. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const event of this.#kv.watch('>', { signal })) this.#take(event);
    this.#tellAll({ type: 'interrupted', reason: 'the watch of the bucket has ended' });
  }

  watch(filter: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<KvWatchEvent> {
    let followers = this.#followers.get(filter);
    if (followers === undefined) {
      followers = new Broadcast({ capacity: CAPACITY });
      this.#followers.set(filter, followers);
    }
    const entry = this.#present.get(filter);
    const first: KvWatchEvent[] = entry === undefined ? [] : [{ type: 'entry', entry }];
    return followers.watch({ ...options, first: this.#synced ? [...first, { type: 'synced' }] : first });
  }

  /** Nobody follows the key or writes to it any more. */
  forget(key: string): void {
    this.#followers.get(key)?.close();
    for (const known of [this.#followers, this.#present, this.#written]) known.delete(key);
  }

  /** How many keys something is remembered of. */
  get size(): number {
    return new Set([this.#followers, this.#present, this.#written].flatMap((known) => [...known.keys()])).size;
  }

  /** The same for all: asked for once. */
  info(options?: KvCallOptions): Promise<KvBucketInfo> {
    this.#info ??= this.#kv.info(options).catch((error: unknown) => {
      this.#info = undefined;
      throw error;
    });
    return this.#info;
  }

  get(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    return this.#kv.get(key, options);
  }

  create(key: string, value: Uint8Array, options?: KvCallOptions): Promise<number> {
    this.#written.set(key, value);
    return this.#kv.create(key, value, options);
  }

  update(key: string, value: Uint8Array, revision: number, options?: KvCallOptions): Promise<number> {
    this.#written.set(key, value);
    return this.#kv.update(key, value, revision, options);
  }

  put(key: string, value: Uint8Array, options?: KvCallOptions): Promise<number> {
    return this.#kv.put(key, value, options);
  }

  delete(key: string, revision: number, options?: KvCallOptions): Promise<number> {
    return this.#kv.delete(key, revision, options);
  }

  keys(filter?: string, options?: KvCallOptions): Promise<string[]> {
    return this.#kv.keys(filter, options);
  }

  #take(event: KvWatchEvent): void {
    if (event.type !== 'entry') {
      this.#synced = event.type === 'synced';
      this.#tellAll(event);
      return;
    }
    const { entry } = event;
    if (entry.operation === 'delete') this.#present.delete(entry.key);
    else if (this.#followers.has(entry.key)) this.#present.set(entry.key, entry);
    if (this.#isEcho(entry)) return;
    this.#followers.get(entry.key)?.send(event);
  }

  #isEcho({ key, value, operation }: KvEntry): boolean {
    const written = this.#written.get(key);
    return written !== undefined && operation === 'put' && Buffer.compare(written, value) === 0;
  }

  #tellAll(event: KvWatchEvent): void {
    for (const followers of this.#followers.values()) followers.send(event);
  }
}
