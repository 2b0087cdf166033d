/**
 * The object port: immutable named byte sequences with headers, visible whole or not at all, create-only where asked.
 * On the wire this is the NATS Object Store, readable by the stock tools.
 */
export interface BlobInfo {
  readonly name: string;
  readonly size: number;
  /** Revision of the entry in the bucket; grows with every write to it. */
  readonly revision: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The server's wall clock at the write, Unix ms; in the answer of `put`, which does not tell it, this process's. */
  readonly writtenAt: number;
}

export interface BlobCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bound on the whole call. Default 10 s, and 60 s for `get` and `put` of streams. */
  readonly timeoutMs?: number;
}

export interface BlobPutOptions extends BlobCallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Throws BLOB_EXISTS when the name is taken; the object there is untouched. */
  readonly createOnly?: boolean;
  /** SHA-256 of bytes in memory, for who has it already: it is not computed again. A wrong one makes the object unreadable. */
  readonly sha256?: Uint8Array;
}

export interface BlobDeleteOptions extends BlobCallOptions {
  /** Called when the object can't be seen any more, in the given order. */
  readonly onDeleted?: (name: string) => void;
}

export type BlobSource = Uint8Array | AsyncIterable<Uint8Array>;

/** As KvWatchEvent: present objects, `synced`, then changes; after an interruption the differences. */
export type BlobWatchEvent =
  | { readonly type: 'put'; readonly blob: BlobInfo }
  | { readonly type: 'deleted'; readonly name: string }
  | { readonly type: 'synced' }
  | { readonly type: 'interrupted'; readonly reason: string };

export interface Blob {
  readonly info: BlobInfo;
  /** To be read once, to the end or cancelled with `return()`. Verified against the digest as it is read. */
  readonly data: AsyncIterable<Uint8Array>;
  /** `data` is only what comes behind `after`: it is of this very object, and the store can go on there. */
  readonly resumed?: boolean;
  /** For `after`: behind the last piece of `data` that was handed out. Undefined: reading can only begin anew. */
  mark?(): string | undefined;
}

/** A reading that was cut off. */
export interface BlobReached {
  /** From `Blob.mark`. */
  readonly mark: string;
  /** The bytes before it; they are read once more, because the digest is that of the whole object. */
  held(): AsyncIterable<Uint8Array>;
}

export interface BlobGetOptions extends BlobCallOptions {
  /** Go on there; see `Blob.resumed`. */
  readonly after?: BlobReached | undefined;
}

export interface BlobBucketInfo {
  readonly bucket: string;
  readonly replicas: number;
  readonly createdAt: number;
  /** The server's wall clock at the answer, Unix ms: the one by which what is stored has its age. 0: it does not tell. */
  readonly now: number;
  readonly bytes: number;
  readonly maxBytes: number | undefined;
  /** Objects older than this are dropped by the server; undefined: never. */
  readonly maxAgeMs?: number | undefined;
  /** What happens at the limits: new writes are refused, or the oldest bytes are dropped. */
  readonly discard?: 'new' | 'old';
  /** Most messages that it takes (an object is two or more); undefined: no limit. */
  readonly maxMessages?: number | undefined;
  /** Messages in it now. */
  readonly messages?: number;
  /** Servers that could hold copies, as far as known. */
  readonly clusterSize?: number;
  /** No object has a greater revision; undefined: not known. */
  readonly lastRevision?: number;
}

export interface BlobSweep {
  /** Uploads that never became objects and are gone now. */
  readonly orphans: number;
}

/**
 * Every call may throw BLOB_BUCKET_MISSING, NATS_CLOSED, NATS_UNREACHABLE, JETSTREAM_UNAVAILABLE, NATS_PERMISSION,
 * DEADLINE_EXCEEDED, NAME_REFUSED (names have 1 to 512 characters), and the signal's reason.
 */
export interface Blobs {
  readonly bucket: string;
  /**
   * Resolves when the whole object is stored on a quorum. On failure nothing is visible under the name; only after
   * DEADLINE_EXCEEDED, or an abort while the entry was on its way, it may be, and then whole. Bytes in memory are sent
   * again after a passing fault; a stream is read once, so its put fails with JETSTREAM_UNAVAILABLE and may be repeated
   * with a new stream. Throws BLOB_EXISTS (with `createOnly`), BUCKET_FULL and NATS_STORAGE_FULL.
   */
  put(name: string, data: BlobSource, options?: BlobPutOptions): Promise<BlobInfo>;
  /**
   * The object, or undefined when there is none. `timeoutMs` bounds the whole reading. While reading throws BLOB_CORRUPT
   * when bytes don't match the digest, BLOB_GONE when the object was deleted or replaced meanwhile. At most two chunks
   * (1 MiB each, as we write them) are in memory.
   */
  get(name: string, options?: BlobGetOptions): Promise<Blob | undefined>;
  /** The whole object in memory; `maxBytes` (default 64 MiB) bounds it: BLOB_TOO_LARGE. */
  read(
    name: string,
    options?: BlobCallOptions & { maxBytes?: number },
  ): Promise<{ info: BlobInfo; bytes: Uint8Array } | undefined>;
  info(name: string, options?: BlobCallOptions): Promise<BlobInfo | undefined>;
  /** Present objects whose name starts with `prefix`, in no particular order. */
  list(prefix?: string, options?: BlobCallOptions): Promise<BlobInfo[]>;
  /** Removes the object and every trace of its name (no tombstone stays). Absent is fine. */
  delete(name: string, options?: BlobCallOptions): Promise<void>;
  /**
   * Removes many objects as `delete` does, in the given order: wherever it stops, what is gone is a prefix. Up to 16 names
   * are taken ahead; when taking one throws, none that was not deleted by then is. `timeoutMs` bounds each object.
   */
  deleteInOrder(names: AsyncIterable<string> | Iterable<string>, options?: BlobDeleteOptions): Promise<void>;
  /**
   * See BlobWatchEvent; as Kv's watch. A deletion by `delete` is told at once, an object that other tools purged
   * without a message within about ten seconds.
   */
  watch(prefix: string, options?: { signal?: AbortSignal | undefined }): AsyncIterable<BlobWatchEvent>;
  bucketInfo(options?: BlobCallOptions): Promise<BlobBucketInfo>;
  /**
   * Removes the bytes of uploads that were cut off before they became objects, when nothing was added to them for
   * `olderThanMs` (at least a minute; a put that takes longer between two of its chunks would be lost). Lists the whole
   * bucket: not to be called often. Default bound 60 s.
   */
  sweep(options: BlobCallOptions & { olderThanMs: number }): Promise<BlobSweep>;
}

export interface BlobBucketOptions {
  /** Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  readonly maxBytes?: number;
}
