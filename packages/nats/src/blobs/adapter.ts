/**
 * The Blobs port on the JetStream Object Store. An object is the entry; chunks without an entry are garbage that nobody
 * sees. Hence the order everywhere: chunks before the entry when writing, the entry before its chunks when deleting.
 */
import { CanopyError, hasCode } from '@canopy/core';
import { nuid } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import { answeredAt, streamInfo } from '../jetstream/buckets.ts';
import { listOnce } from '../jetstream/consumer.ts';
import {
  isConflict,
  isFull,
  isOutOfStorage,
  isPassing,
  JetStreamRefusal,
  JS,
  refusedWith,
  transportFault,
} from '../jetstream/failures.ts';
import { Budget, LinkBroken } from '../session/link.ts';
import { SharedFeed } from '../watch/shared-feed.ts';
import { type DeletionDeps, deleteInOrder, deleteOne } from './deletion.ts';
import { downloadChunks, formatMark, parseMark } from './download.ts';
import { blobFeedSource, decodeEntry, toWatchEvent } from './feed-source.ts';
import type {
  Blob,
  BlobBucketInfo,
  BlobCallOptions,
  BlobDeleteOptions,
  BlobGetOptions,
  BlobInfo,
  BlobPutOptions,
  BlobSource,
  BlobSweep,
  Blobs,
  BlobWatchEvent,
} from './port.ts';
import { sweepOrphans } from './sweep.ts';
import { publishMeta, type Upload, uploadChunks } from './upload.ts';
import { type BlobMeta, blobStream, chunkSubject, decodeMeta, metaFilter, metaSubject, toBlobInfo } from './wire.ts';

const TIMEOUT_MS = 10_000;
const TRANSFER_MS = 60_000;
const READ_MAX_BYTES = 64 * 1024 * 1024;
const TIDY_MS = 5000;
const RETRY_PAUSE_MS = 100;
const NS_PER_MS = 1_000_000;

interface Entry {
  readonly meta: BlobMeta;
  readonly info: BlobInfo;
}

export class BlobsAdapter implements Blobs {
  readonly bucket: string;
  readonly #api: JetStreamApi;
  readonly #stream: string;
  readonly #feeds: SharedFeed<BlobInfo>;
  readonly #tidying = new Set<Promise<void>>();

  constructor(api: JetStreamApi, bucket: string) {
    this.#api = api;
    this.bucket = bucket;
    this.#stream = blobStream(bucket);
    this.#feeds = new SharedFeed(api, blobFeedSource(api, bucket));
  }

  async put(name: string, data: BlobSource, options: BlobPutOptions = {}): Promise<BlobInfo> {
    this.#checkName(name);
    const operation = `put ${this.bucket}/${name}`;
    const budget = this.#budget(options, data instanceof Uint8Array ? TIMEOUT_MS : TRANSFER_MS);
    // Only an overwriting put needs to know what it replaces; it learns that while the chunks travel.
    const before = options.createOnly ? undefined : this.#entry(name, operation, this.#left(budget, operation));
    before?.catch(() => {});
    const upload = await this.#upload(operation, data, budget, options.sha256);
    try {
      const replaced = await before;
      const expectedSeq = options.createOnly ? 0 : undefined;
      const revision = await this.#publishEntry(operation, name, upload, options, expectedSeq, budget);
      if (replaced !== undefined) this.#purgeLater(chunkSubject(this.bucket, replaced.meta.nuid));
      const headers = options.headers ?? {};
      return { name, size: upload.size, revision, headers, writtenAt: this.#api.env.clock.wall() };
    } catch (error) {
      // After an unknown outcome the entry may be there, and the chunks are its bytes.
      if (isRefusal(error)) this.#purgeLater(chunkSubject(this.bucket, upload.nuid));
      throw error;
    }
  }

  /** The chunks. Nothing is visible yet, so a failure here is never an unknown outcome. */
  async #upload(operation: string, data: BlobSource, budget: Budget, sha256?: Uint8Array): Promise<Upload> {
    for (;;) {
      const id = nuid.next();
      try {
        return await this.#translate(() => uploadChunks(this.#api, this.bucket, operation, id, data, budget, sha256));
      } catch (error) {
        this.#purgeLater(chunkSubject(this.bucket, id));
        if (!isTransient(error)) throw error;
        if (!(data instanceof Uint8Array) || budget.leftMs < RETRY_PAUSE_MS * 2)
          throw natsErrors.create('JETSTREAM_UNAVAILABLE', { operation }, error);
        if (transportFault(error) === 'no-responders') await this.bucketInfo({ timeoutMs: budget.leftMs });
      }
      await this.#api.env.clock.sleep(RETRY_PAUSE_MS, { signal: budget.signal });
      await this.#api.link.whenConnected(Math.max(0, budget.leftMs), budget.signal);
    }
  }

  async #publishEntry(
    operation: string,
    name: string,
    upload: Upload,
    options: BlobPutOptions,
    expectedSeq: number | undefined,
    budget: Budget,
  ): Promise<number> {
    try {
      const how = { headers: options.headers, expectedSeq, budget };
      return await this.#translate(() => publishMeta(this.#api, this.bucket, operation, name, upload, how));
    } catch (error) {
      // Refused now, but an earlier attempt may be on its way still: the chunks are its bytes.
      if (CanopyError.is(error) && error.cause instanceof JetStreamRefusal && error.cause.afterUnknown)
        throw budget.expired(operation);
      if (!isConflict(error)) throw error;
      const present = await this.#lastEntry(name, operation, this.#left(budget, operation));
      if (present?.meta.nuid === upload.nuid) return present.info.revision;
      if (present !== undefined && !present.meta.deleted) throw this.#exists(name);
      // Nothing or a tombstone of another client: a deletion came in between, and the name is free.
      return this.#publishEntry(operation, name, upload, options, present?.info.revision ?? 0, budget);
    }
  }

  async get(name: string, options: BlobGetOptions = {}): Promise<Blob | undefined> {
    const operation = `read ${this.bucket}/${name}`;
    const budget = this.#budget(options, TRANSFER_MS);
    const entry = await this.#entry(name, operation, this.#left(budget, operation));
    if (entry === undefined) return undefined;
    const isCurrent = async (): Promise<boolean> => {
      const now = await this.#entry(name, operation, { timeoutMs: TIMEOUT_MS, signal: options.signal });
      return now?.info.revision === entry.info.revision;
    };
    const upload = entry.meta.nuid;
    const at = options.after && parseMark(options.after.mark, upload);
    const reached = at && options.after && { ...at, held: options.after.held };
    let last = at;
    const onChunk = (chunk: { number: number; seq: number }): void => {
      last = chunk;
    };
    return {
      info: entry.info,
      data: downloadChunks(this.#api, this.bucket, entry.meta, budget, isCurrent, reached, onChunk),
      resumed: reached !== undefined,
      mark: () => last && formatMark(upload, last),
    };
  }

  async read(
    name: string,
    options: BlobCallOptions & { maxBytes?: number } = {},
  ): Promise<{ info: BlobInfo; bytes: Uint8Array } | undefined> {
    const { maxBytes: limit = READ_MAX_BYTES, timeoutMs = TIMEOUT_MS } = options;
    const blob = await this.get(name, { ...options, timeoutMs });
    if (blob === undefined) return undefined;
    const { size } = blob.info;
    if (size > limit) throw natsErrors.create('BLOB_TOO_LARGE', { bucket: this.bucket, name, size, limit });
    const pieces: Uint8Array[] = [];
    for await (const piece of blob.data) pieces.push(piece);
    const only = pieces.length === 1 ? pieces[0] : undefined;
    return { info: blob.info, bytes: only ?? new Uint8Array(Buffer.concat(pieces)) };
  }

  async info(name: string, options: BlobCallOptions = {}): Promise<BlobInfo | undefined> {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const call = { timeoutMs, signal: options.signal };
    return (await this.#entry(name, `look up ${this.bucket}/${name}`, call))?.info;
  }

  async list(prefix = '', options: BlobCallOptions = {}): Promise<BlobInfo[]> {
    const found = new Map<string, BlobInfo>();
    const operation = `list ${this.bucket}`;
    const budget = this.#budget(options, TIMEOUT_MS);
    const query = { stream: this.#stream, filter: metaFilter(this.bucket), ...this.#left(budget, operation) };
    for (const message of await this.#translate(() => listOnce(this.#api, operation, query))) {
      const change = decodeEntry(this.bucket, message);
      if (change === undefined || !change.key.startsWith(prefix)) continue;
      if (change.present) found.set(change.key, change.item);
      else found.delete(change.key);
    }
    return [...found.values()];
  }

  async delete(name: string, options: BlobCallOptions = {}): Promise<void> {
    await deleteOne(this.#deletion(options), name);
  }

  async deleteInOrder(names: AsyncIterable<string> | Iterable<string>, options: BlobDeleteOptions = {}): Promise<void> {
    await deleteInOrder(this.#deletion(options), names, options.onDeleted);
  }

  #deletion(options: BlobCallOptions): DeletionDeps {
    return {
      api: this.#api,
      bucket: this.bucket,
      budget: () => this.#budget(options, TIMEOUT_MS),
      entryOf: async (name, operation, budget) => this.#lastEntry(name, operation, this.#left(budget, operation)),
      translate: (work) => this.#translate(work),
    };
  }

  watch(prefix: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<BlobWatchEvent> {
    this.#api.link.requireOpen();
    return this.#feeds.current().watch((name) => name.startsWith(prefix), toWatchEvent, options.signal);
  }

  async bucketInfo(options: BlobCallOptions = {}): Promise<BlobBucketInfo> {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const info = await streamInfo(this.#api, this.#stream, { timeoutMs, signal: options.signal });
    if (info === undefined) throw natsErrors.create('BLOB_BUCKET_MISSING', { bucket: this.bucket });
    return {
      bucket: this.bucket,
      replicas: info.config.num_replicas,
      createdAt: Date.parse(info.created),
      now: answeredAt(info),
      bytes: info.state.bytes,
      maxBytes: info.config.max_bytes > 0 ? info.config.max_bytes : undefined,
      maxAgeMs: info.config.max_age > 0 ? info.config.max_age / NS_PER_MS : undefined,
      discard: info.config.discard,
      maxMessages: info.config.max_msgs > 0 ? info.config.max_msgs : undefined,
      messages: info.state.messages,
      clusterSize: this.#api.link.status().clusterSize,
      lastRevision: info.state.last_seq,
    };
  }

  async sweep(options: BlobCallOptions & { olderThanMs: number }): Promise<BlobSweep> {
    const budget = this.#budget(options, TRANSFER_MS);
    return this.#translate(() => sweepOrphans(this.#api, this.bucket, options.olderThanMs, budget));
  }

  /** Ends the watches, removes their consumer, and waits for clean-up that is under way. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#feeds.close(), ...this.#tidying]);
  }

  async #entry(name: string, operation: string, call: CallBounds): Promise<Entry | undefined> {
    const entry = await this.#lastEntry(name, operation, call);
    return entry === undefined || entry.meta.deleted ? undefined : entry;
  }

  /** The name's entry, tombstones included. */
  async #lastEntry(name: string, operation: string, call: CallBounds): Promise<Entry | undefined> {
    this.#checkName(name);
    const query = { last_by_subj: metaSubject(this.bucket, name) };
    const stored = await this.#translate(() => this.#api.message(operation, this.#stream, query, call));
    if (stored === undefined) return undefined;
    const meta = decodeMeta(stored.data);
    if (meta === undefined) throw natsErrors.create('BLOB_CORRUPT', { bucket: this.bucket, name });
    return { meta, info: toBlobInfo(meta, stored.seq, stored.writtenAt) };
  }

  async #purge(operation: string, subject: string, budget: Budget, seq?: number): Promise<void> {
    const body = { filter: subject, ...(seq === undefined ? {} : { seq }) };
    await this.#translate(() =>
      this.#api.call(operation, `STREAM.PURGE.${this.#stream}`, body, this.#left(budget, operation)),
    );
  }

  /** Removes chunks that no entry names. Best effort, in the background. */
  #purgeLater(subject: string): void {
    const budget = this.#budget({ timeoutMs: TIDY_MS }, TIDY_MS);
    const work: Promise<void> = this.#purge(`tidy ${this.bucket}`, subject, budget)
      .catch((error: Error) => {
        this.#api.env.log.warn('nats_orphan_chunks', { bucket: this.bucket, subject, error: error.message });
      })
      .finally(() => this.#tidying.delete(work));
    this.#tidying.add(work);
  }

  #budget(options: BlobCallOptions, defaultMs: number): Budget {
    return new Budget(this.#api.env, options.timeoutMs ?? defaultMs, options.signal);
  }

  #left(budget: Budget, operation: string): CallBounds {
    if (budget.spent) throw budget.expired(operation);
    return { timeoutMs: budget.leftMs, signal: budget.signal };
  }

  #exists(name: string): Error {
    return natsErrors.create('BLOB_EXISTS', { bucket: this.bucket, name });
  }

  #checkName(name: string): void {
    if (name !== '' && name.length <= 512) return;
    throw natsErrors.create('NAME_REFUSED', { kind: 'object', name, allowed: '1 to 512 characters' });
  }

  async #translate<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { bucket } = this;
      if (refusedWith(error, JS.streamNotFound)) throw natsErrors.create('BLOB_BUCKET_MISSING', { bucket }, error);
      if (isFull(error)) throw natsErrors.create('BUCKET_FULL', { bucket }, error);
      if (isOutOfStorage(error))
        throw natsErrors.create('NATS_STORAGE_FULL', { stream: this.#stream, reason: error.description }, error);
      throw error;
    }
  }
}

/** May go better with another attempt. */
function isTransient(error: unknown): boolean {
  return (
    error instanceof LinkBroken || isPassing(error) || ['timeout', 'no-responders'].includes(transportFault(error))
  );
}

/** Certainly not stored. An abort or a lost answer says nothing. */
function isRefusal(error: unknown): boolean {
  return hasCode(
    error,
    'BLOB_EXISTS',
    'BUCKET_FULL',
    'NATS_STORAGE_FULL',
    'BLOB_BUCKET_MISSING',
    'JETSTREAM_UNAVAILABLE',
    'NATS_UNREACHABLE',
  );
}

interface CallBounds {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}
