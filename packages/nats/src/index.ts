/** The NATS primitives that Canopy relies on. */
export type {
  Blob,
  BlobBucketInfo,
  BlobBucketOptions,
  BlobCallOptions,
  BlobDeleteOptions,
  BlobGetOptions,
  BlobInfo,
  BlobPutOptions,
  BlobReached,
  BlobSource,
  BlobSweep,
  Blobs,
  BlobWatchEvent,
} from './blobs/port.ts';
export type { Bus, BusMessage } from './bus/port.ts';
export { natsErrors } from './errors.ts';
export type {
  Kv,
  KvBucketInfo,
  KvBucketOptions,
  KvCallOptions,
  KvEntry,
  KvOperation,
  KvWatchEvent,
} from './kv/port.ts';
export { type ConnectOptions, connectNats, wrapConnection } from './session/connect.ts';
export type { NatsSession, SessionEvent, SessionStatus } from './session/port.ts';
export type {
  Stream,
  StreamAppended,
  StreamAppendOptions,
  StreamCallOptions,
  StreamConsumer,
  StreamConsumerInfo,
  StreamConsumerOptions,
  StreamDelivery,
  StreamFetchOptions,
  StreamMessage,
  StreamOptions,
  StreamReadEvent,
  StreamReadOptions,
  StreamStatus,
} from './streams/port.ts';
