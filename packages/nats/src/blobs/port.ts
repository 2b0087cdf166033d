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
  /** The server's wall clock at the write, Unix ms. */
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
}

export interface BlobBucketInfo {
  readonly bucket: string;
  readonly replicas: number;
  readonly createdAt: number;
  readonly bytes: number;
  readonly maxBytes: number | undefined;
}

export interface Blobs {
  readonly bucket: string;
  /** Resolves when the whole object is stored on a quorum. On failure nothing is visible under the name. */
  put(name: string, data: BlobSource, options?: BlobPutOptions): Promise<BlobInfo>;
  /** The object, or undefined when there is none. Throws BLOB_CORRUPT while reading when bytes don't match the digest. */
  get(name: string, options?: BlobCallOptions): Promise<Blob | undefined>;
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
  watch(prefix: string, options?: { signal?: AbortSignal | undefined }): AsyncIterable<BlobWatchEvent>;
  bucketInfo(options?: BlobCallOptions): Promise<BlobBucketInfo>;
}

export interface BlobBucketOptions {
  /** Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  readonly maxBytes?: number;
}
