/**
 * The key-value port: named values with revisions, conditional writes, and a watch that can be trusted.
 * A read is a hint; only a conditional write decides anything.
 */
export type KvOperation = 'put' | 'delete';

export interface KvEntry {
  readonly key: string;
  /** Empty for a deletion. */
  readonly value: Uint8Array;
  /** Grows with every write to the bucket, whatever the key; also a deletion has one. */
  readonly revision: number;
  readonly operation: KvOperation;
  /** The server's wall clock at the write, Unix ms. For people only. */
  readonly writtenAt: number;
}

export interface KvCallOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Bound on the whole call, retries included. Default 5 s. Past it: DEADLINE_EXCEEDED when the outcome is unknown;
   * NATS_UNREACHABLE or JETSTREAM_UNAVAILABLE when the call was certainly not carried out.
   */
  readonly timeoutMs?: number;
}

/**
 * What a watcher sees. First the present entries (no deletions), then `synced`, then changes as they happen.
 * After an interruption the adapter re-lists by itself and yields the differences as ordinary entries; a key that
 * vanished meanwhile is yielded as a `delete` with the revision last seen; so is one that expired, whether or not the
 * bucket has the server write a marker then. `interrupted` and the next
 * `synced` bracket the time in which nothing is known.
 *
 * A reader that lags gets the latest value per key instead of each one, so memory is bounded by the number of keys.
 * All watches of a bucket in one session share one watch on the server, which keeps the bucket's present entries in
 * memory.
 */
export type KvWatchEvent =
  | { readonly type: 'entry'; readonly entry: KvEntry }
  | { readonly type: 'synced' }
  | { readonly type: 'interrupted'; readonly reason: string };

export interface KvBucketInfo {
  readonly bucket: string;
  readonly replicas: number;
  /** 0 = entries do not expire. */
  readonly ttlMs: number;
  readonly history: number;
  /** When the bucket was made, Unix ms of the server: another value means that it was re-created. */
  readonly createdAt: number;
  readonly lastRevision: number;
  readonly bytes: number;
  readonly maxBytes: number | undefined;
}

/**
 * Every call may throw KV_BUCKET_MISSING, NATS_CLOSED, NATS_UNREACHABLE, JETSTREAM_UNAVAILABLE, NATS_PERMISSION,
 * DEADLINE_EXCEEDED, NAME_REFUSED for keys other than letters, digits and `-/_=` in tokens joined by `.` (`_tick` is
 * reserved), and the signal's reason; writes also BUCKET_FULL, NATS_STORAGE_FULL and KV_VALUE_TOO_LARGE. A write whose answer was lost is
 * repeated so that it counts once; when it can no longer be known whether it was carried out, DEADLINE_EXCEEDED is
 * thrown, never KV_CONFLICT.
 */
export interface Kv {
  readonly bucket: string;
  /** The present value from the stream leader (never a lagging replica), or undefined when absent or deleted. */
  get(key: string, options?: KvCallOptions): Promise<KvEntry | undefined>;
  /** Writes where there is no value (absent, deleted or expired). Returns the revision. Throws KV_CONFLICT otherwise. */
  create(key: string, value: Uint8Array, options?: KvCallOptions): Promise<number>;
  /** Writes where the revision still is `revision`. Throws KV_CONFLICT otherwise. */
  update(key: string, value: Uint8Array, revision: number, options?: KvCallOptions): Promise<number>;
  /** Writes unconditionally: only for keys with a single writer. */
  put(key: string, value: Uint8Array, options?: KvCallOptions): Promise<number>;
  /** Deletes where the revision still is `revision`; returns the deletion's revision. Throws KV_CONFLICT otherwise. */
  delete(key: string, revision: number, options?: KvCallOptions): Promise<number>;
  /** Present keys that match the filter (`*` one token, `>` the rest; default all). */
  keys(filter?: string, options?: KvCallOptions): Promise<string[]>;
  /**
   * See KvWatchEvent. Ends when the signal aborts, the iteration is left, or the session closes; never goes silent
   * without `interrupted`: a dead watch is noticed within about two seconds.
   */
  watch(
    filter: string | readonly string[],
    options?: { signal?: AbortSignal | undefined },
  ): AsyncIterable<KvWatchEvent>;
  info(options?: KvCallOptions): Promise<KvBucketInfo>;
}

export interface KvBucketOptions {
  /** Entries expire this long after their last write; 0 (default) = never. The server's minimum is 100 ms. */
  readonly ttlMs?: number;
  /** Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  /** Values kept per key, 1..64. Default 1. */
  readonly history?: number;
  readonly maxBytes?: number;
  /**
   * The revision of the first write, where the bucket is made by this call; default 1. A bucket that is deleted and made
   * again repeats its revisions unless it begins above them, and a conditional write can't tell the two apart then.
   */
  readonly firstRevision?: number;
}
