/** One connection to NATS and everything reached through it. The adapter is `connectNats`, the twin `MemoryNats`. */
import type { BlobBucketOptions, Blobs } from '../blobs/port.ts';
import type { Bus } from '../bus/port.ts';
import type { Kv, KvBucketOptions } from '../kv/port.ts';
import type { Stream, StreamOptions } from '../streams/port.ts';

export type SessionEvent =
  | { readonly type: 'connected'; readonly server: string }
  | { readonly type: 'disconnected'; readonly reason: string }
  | { readonly type: 'closed'; readonly error: Error | undefined };

export interface SessionStatus {
  readonly connected: boolean;
  readonly server: string | undefined;
  readonly serverVersion: string | undefined;
  /** Servers in the cluster as far as known; 1 for a single server. */
  readonly clusterSize: number;
  readonly reconnects: number;
}

export interface NatsSession extends AsyncDisposable {
  /** Opens a bucket that must exist: KV_BUCKET_MISSING otherwise. A read path never makes one. */
  kv(bucket: string): Promise<Kv>;
  /** Opens the bucket, making it when missing. An existing bucket with other settings is KV_BUCKET_MISMATCH. */
  ensureKv(bucket: string, options?: KvBucketOptions): Promise<Kv>;
  /** Opens a bucket that must exist: BLOB_BUCKET_MISSING otherwise. */
  blobs(bucket: string): Promise<Blobs>;
  ensureBlobs(bucket: string, options?: BlobBucketOptions): Promise<Blobs>;
  /** Opens a stream that must exist: STREAM_MISSING otherwise. */
  stream(name: string): Promise<Stream>;
  /** Opens the stream, making it when missing. An existing one with other settings is STREAM_MISMATCH. */
  ensureStream(name: string, options: StreamOptions): Promise<Stream>;
  readonly bus: Bus;
  status(): SessionStatus;
  /** The present state first, then changes. */
  watch(options?: { signal?: AbortSignal | undefined }): AsyncIterable<SessionEvent>;
  /** Ends every watch and removes its consumers, within about a second. Idempotent; a session made around a connection that somebody else opened does not close that connection. */
  close(): Promise<void>;
}
