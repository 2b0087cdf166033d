/**
 * Named snapshots: states of a database that somebody wants to keep, in a bucket beside the log. They are made from the
 * log alone (newest full image and what follows, merged on the way), so any node can make one and the primary's file is
 * never held. Invariant: what is listed was decoded from the store once, whole.
 */
import { join, resolve } from 'node:path';
import { type Env, hasCode } from '@canopy/core';
import type { BlobInfo, Blobs } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { politely } from '../levels/compactor.ts';
import { MergeInputs } from '../levels/inputs.ts';
import { mergePages } from '../levels/merge-stream.ts';
import type { LogEntry } from '../log/names.ts';
import type { FetchedEntry, FetchOptions } from '../log/read-ahead.ts';
import { type DecodedLtx, decodeLtx, decodeLtxStream, type LtxStream } from '../ltx/decoder.ts';
import { encodeLtxStream } from '../ltx/encoder.ts';
import type { PageEncoding } from '../ltx/header.ts';
import { requireRestoreOptions } from '../restore/options.ts';
import { planRestore, type RestoreTarget } from '../restore/plan.ts';
import { type Restored, type RestoreOptions, type RestoreSource, restore } from '../restore/restore.ts';
import { requireUnused } from '../restore/unused-file.ts';
import {
  asImage,
  checkSnapshotId,
  defaultSnapshotId,
  type NamedSnapshot,
  objectName,
  snapshotHeaders,
  snapshotOf,
} from './snapshot.ts';

const STREAM_TIMEOUT_MS = 60 * 60_000;
const LIST_TIMEOUT_MS = 60_000;
/** The retention may take an object of the plan away meanwhile; a newer plan does without it. */
const ATTEMPTS = 3;

export interface SnapshotStoreOptions {
  /** The bucket of the snapshots. */
  readonly blobs: Blobs;
  readonly env: Env;
  /** Default block: what Litestream reads from 0.5.16 on. */
  readonly pageEncoding?: PageEncoding;
}

export interface CreateNamedOptions {
  readonly log: RestoreSource;
  readonly node: string;
  /** 1 to 100 letters, digits, `.`, `_`, `-`. Default: made from the time and the position. */
  readonly name?: string | undefined;
  /** Default: the end of the log. */
  readonly target?: RestoreTarget | undefined;
  /** A directory for scratch files; made and removed. */
  readonly scratch: string;
  readonly signal?: AbortSignal | undefined;
  /** Compressed bytes of the log taken in so far. */
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export class SnapshotStore {
  readonly #blobs: Blobs;
  readonly #env: Env;
  readonly #pageEncoding: PageEncoding;

  constructor(options: SnapshotStoreOptions) {
    this.#blobs = options.blobs;
    this.#env = options.env;
    this.#pageEncoding = options.pageEncoding ?? 'block';
  }

  /**
   * Stores what the log has as a snapshot of its own; resolves when it is stored and was decoded. Memory is bounded; long
   * logs use scratch files. Throws SQLITE_SNAPSHOT_EXISTS, SQLITE_SNAPSHOT_NAME, BUCKET_FULL, and what planRestore throws.
   */
  async create(options: CreateNamedOptions): Promise<NamedSnapshot> {
    const { log, target, signal } = options;
    if (options.name !== undefined) await this.#requireFree(checkSnapshotId(options.name), options);
    for (let attempt = 1; ; attempt++) {
      try {
        const plan = planRestore(log.bucket, await log.all({ signal }), target);
        return await this.#merge(options, plan);
      } catch (error) {
        if (!hasCode(error, 'SQLITE_LOG_GAP', 'BLOB_GONE') || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  /** Oldest first. */
  async list(options: CallOptions = {}): Promise<NamedSnapshot[]> {
    const blobs = await this.#blobs.list('', { timeoutMs: LIST_TIMEOUT_MS, ...options });
    const found = blobs.map(snapshotOf).filter((snapshot) => snapshot !== undefined);
    return found.sort((a, b) => a.createdAt - b.createdAt || a.position.txid - b.position.txid);
  }

  /** The one made last; undefined when there is none. */
  async latest(options: CallOptions = {}): Promise<NamedSnapshot | undefined> {
    return (await this.list(options)).at(-1);
  }

  /** Undefined when there is none of that id. */
  async find(id: string, options: CallOptions = {}): Promise<NamedSnapshot | undefined> {
    const blob = await this.#blobs.info(objectName(checkSnapshotId(id)), options);
    return blob === undefined ? undefined : snapshotOf(blob);
  }

  /** For good. Throws SQLITE_SNAPSHOT_MISSING. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#require(id, options);
    await this.#blobs.delete(objectName(id), options);
  }

  /**
   * As `restore` of a log. Throws OPTIONS_INVALID, SQLITE_SNAPSHOT_MISSING and what restore throws; with `overwrite` SQLITE_IN_USE and
   * SQLITE_DATABASE_BUSY where a program has the file open, as far as that can be seen.
   */
  async restore(id: string, options: Omit<RestoreOptions, 'log' | 'target'>): Promise<Restored> {
    requireRestoreOptions(options);
    if (options.overwrite === true) await requireUnused(resolve(options.dest), options.env);
    const { blob, snapshot } = await this.#require(id, options);
    return restore({ ...options, log: new SnapshotSource(this.#blobs, blob, snapshot) });
  }

  async #merge(options: CreateNamedOptions, plan: readonly LogEntry[]): Promise<NamedSnapshot> {
    const { scratch, log, node, onProgress } = options;
    const signal = options.signal ?? new AbortController().signal;
    const totalBytes = plan.reduce((sum, entry) => sum + entry.size, 0);
    let doneBytes = 0;
    const onInput = (bytes: number): void => {
      doneBytes += bytes;
      onProgress?.({ doneBytes, totalBytes });
    };
    await using inputs = new MergeInputs({ log, scratch: join(scratch, 'snapshot'), signal, onInput });
    const { header: merged, streams } = await inputs.load(plan);
    // The plan begins with every page, from whichever transaction on.
    const header = { ...merged, minTxid: 1 };
    const last = plan.at(-1) as LogEntry;
    const createdAt = this.#env.clock.wall();
    const id = options.name ?? defaultSnapshotId(createdAt, header.maxTxid);
    const facts = { txid: header.maxTxid, epoch: last.epoch, node, timestamp: header.timestamp, createdAt };
    const headers = snapshotHeaders({ ...facts, databaseBytes: header.commit * header.pageSize });
    const data = encodeLtxStream(
      header,
      politely(mergePages(streams, header), this.#env.clock, signal),
      this.#pageEncoding,
    );
    const put = { createOnly: true, headers, timeoutMs: STREAM_TIMEOUT_MS, signal };
    const blob = await this.#blobs.put(objectName(id), data, put).catch((error: unknown) => {
      throw hasCode(error, 'BLOB_EXISTS') ? sqliteErrors.create('SQLITE_SNAPSHOT_EXISTS', { id }, error) : error;
    });
    return this.#prove(blob, signal);
  }

  async #prove(blob: BlobInfo, signal: AbortSignal): Promise<NamedSnapshot> {
    const snapshot = snapshotOf(blob) as NamedSnapshot;
    try {
      const opened = await new SnapshotSource(this.#blobs, blob, snapshot).open(blob.name, { signal });
      if (opened === undefined) throw sqliteErrors.create('SQLITE_SNAPSHOT_MISSING', { id: snapshot.id });
      for await (const _ of opened.stream.batches()) signal.throwIfAborted();
      return snapshot;
    } catch (error) {
      // It was not promised to anybody yet.
      await this.#blobs.delete(blob.name).catch(() => {});
      throw error;
    }
  }

  async #requireFree(id: string, options: CallOptions): Promise<void> {
    if ((await this.find(id, { signal: options.signal })) === undefined) return;
    throw sqliteErrors.create('SQLITE_SNAPSHOT_EXISTS', { id });
  }

  async #require(id: string, options: CallOptions): Promise<{ blob: BlobInfo; snapshot: NamedSnapshot }> {
    const blob = await this.#blobs.info(objectName(checkSnapshotId(id)), { signal: options.signal });
    const snapshot = blob === undefined ? undefined : snapshotOf(blob);
    if (blob !== undefined && snapshot !== undefined) return { blob, snapshot };
    throw sqliteErrors.create('SQLITE_SNAPSHOT_MISSING', { id });
  }
}

/** One snapshot as a log that holds nothing else. */
class SnapshotSource implements RestoreSource {
  readonly bucket: string;
  readonly #blobs: Blobs;
  readonly #entry: LogEntry;

  constructor(blobs: Blobs, blob: BlobInfo, snapshot: NamedSnapshot) {
    this.bucket = blobs.bucket;
    this.#blobs = blobs;
    this.#entry = asImage(blob, snapshot);
  }

  async all(): Promise<LogEntry[]> {
    return [this.#entry];
  }

  async fetchEntry(name: string, options: FetchOptions = {}): Promise<FetchedEntry | undefined> {
    const found = await this.#blobs.read(name, { timeoutMs: STREAM_TIMEOUT_MS, signal: options.signal });
    if (found === undefined) return undefined;
    const { bytes } = found;
    const decode = (): DecodedLtx => {
      const ltx = decodeLtx(bytes, `${this.bucket}/${name}`);
      this.#check(ltx.header);
      return ltx;
    };
    return { entry: this.#entry, bytes, decode };
  }

  async open(name: string, options: CallOptions = {}): Promise<{ entry: LogEntry; stream: LtxStream } | undefined> {
    const blob = await this.#blobs.get(name, { timeoutMs: STREAM_TIMEOUT_MS, ...options });
    if (blob === undefined) return undefined;
    const stream = await decodeLtxStream(blob.data, `${this.bucket}/${name}`);
    this.#check(stream.header);
    return { entry: this.#entry, stream };
  }

  #check(header: { readonly minTxid: number; readonly maxTxid: number }): void {
    if (header.minTxid === 1 && header.maxTxid === this.#entry.maxTxid) return;
    throw sqliteErrors.create('SQLITE_LTX_INVALID', {
      object: `${this.bucket}/${this.#entry.name}`,
      problem: `it contains transactions ${header.minTxid} to ${header.maxTxid}`,
    });
  }
}
