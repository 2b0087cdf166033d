/**
 * A database's log in an object bucket, laid out as Litestream lays it out. Level 0 holds one object per transaction,
 * put create-only and strictly in order: whoever finds its transaction taken is no longer primary (see Appender).
 */
import {
  assert,
  type Clock,
  type Epoch,
  hasCode,
  type Logger,
  type Position,
  type Random,
  silentLogger,
  systemEnv,
} from '@canopy/core';
import type { BlobSource, Blobs } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { type RetentionOptions, type RetentionResult, trimLog } from '../levels/retention.ts';
import { type DecodedLtx, decodeLtx, decodeLtxStream, type LtxStream } from '../ltx/decoder.ts';
import { Appender, type AppendInput, transferMs } from './appender.ts';
import { type FollowOptions, followLog } from './follow.ts';
import { isOtherLog } from './identity.ts';
import { getKept } from './kept-download.ts';
import {
  asEntry,
  entryHeaders,
  entryOf,
  formatName,
  type LogEntry,
  parseName,
  ROOT,
  SEGMENTS,
  SNAPSHOT_LEVEL,
  SNAPSHOTS,
  segmentName,
  type WalEnd,
} from './names.ts';
import type { FetchedEntry, FetchOptions } from './read-ahead.ts';
import type { CallOptions, LogView } from './view.ts';

const LIST_TIMEOUT_MS = 60_000;
const READ_TIMEOUT_MS = 120_000;
/** As many of the newest entries are never deleted, so one behind which less was stored was not. */
const NEVER_GO = 16;
const READ_MAX = 1024 * 1024 * 1024;
const STREAM_TIMEOUT_MS = 60 * 60_000;

export interface SegmentLogOptions {
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly log?: Logger;
  /** When the bucket was made, Unix ms: tells it from another one of its name. Default 0: not known. */
  readonly createdAt?: number;
  /** For the id of a log that is begun. Default: the system's. */
  readonly random?: Random;
}

export interface SnapshotInput {
  readonly txid: number;
  readonly epoch: Epoch;
  readonly node: string;
  /** Unix ms, as in the LTX header. */
  readonly timestamp: number;
  /** An LTX file with minTxid 1 and maxTxid = txid. */
  readonly data: BlobSource;
  readonly note?: string | undefined;
}

/** An object made from others of the log. */
export interface MergedInput extends Omit<SnapshotInput, 'txid'> {
  readonly level: number;
  readonly minTxid: number;
  readonly maxTxid: number;
  /** Where in its writer's WAL the last transaction ends. */
  readonly walEnd?: WalEnd | undefined;
  /** It has every page. Default: where it begins with the first transaction. */
  readonly isImage?: boolean;
  /** Default: what is known of the log. */
  readonly logId?: string | undefined;
}

export interface LogEnd {
  readonly position: Position;
  readonly entry: LogEntry;
}

export interface Segment {
  readonly entry: LogEntry;
  readonly bytes: Uint8Array;
  /** Verified. */
  readonly ltx: DecodedLtx;
}

export type ReadOptions = FetchOptions;

/** One stretch of the log written under one epoch. */
export interface EpochSpan {
  readonly epoch: Epoch;
  readonly node: string | undefined;
  readonly fromTxid: number;
  readonly toTxid: number;
}

export class SegmentLog implements LogView {
  readonly bucket: string;
  readonly createdAt: number;
  readonly #blobs: Blobs;
  readonly #clock: Clock;
  readonly #log: Logger;
  #tail: LogEntry | undefined;
  #id: string | undefined;
  readonly #appender: Appender;
  #appending = false;

  constructor(options: SegmentLogOptions) {
    this.#blobs = options.blobs;
    this.#clock = options.clock;
    this.#log = options.log ?? silentLogger;
    this.bucket = options.blobs.bucket;
    this.createdAt = options.createdAt ?? 0;
    this.#appender = new Appender(this, this.#blobs, this.#log, options.random ?? systemEnv().random);
  }

  /** Which log this is, as far as known: told by `hold`, else by the first entry that is appended or followed. */
  get id(): string | undefined {
    return this.#id;
  }

  /** From now on this is the log `id`, and entries of another are refused; undefined: the next entry tells. */
  hold(id: string | undefined): void {
    this.#id = id;
  }

  /** For an entry that carries on from transaction `after`, or is it: throws SQLITE_LOG_LOST when it is of another log. */
  meet(entry: LogEntry, after: number): void {
    if (isOtherLog(entry.logId, this.#id))
      throw sqliteErrors.create('SQLITE_LOG_LOST', { bucket: this.bucket, txid: Math.max(1, after) });
    this.#id ??= entry.logId;
  }

  /** The id as the log's newest entries have it, by listing them; undefined when none has one. */
  async findId(options: CallOptions = {}): Promise<string | undefined> {
    return (await this.all(options)).findLast(({ logId }) => logId !== undefined)?.logId;
  }

  /**
   * Adds one transaction; resolves when it is stored on a quorum. One call at a time. Calling again with the same bytes
   * is safe and succeeds if they are there. Throws SQLITE_FENCED (fields takenEpoch, takenNode, takenTxid) when another
   * wrote it or a higher epoch has the log; SQLITE_LOG_LOST when what this log had stored is not there any more, or another log is (the bucket
   * was made anew or restored from a backup): nothing of the entry stays then; SQLITE_LOG_GAP when the transaction before it is not there;
   * SQLITE_APPEND_UNKNOWN when the outcome is not known: then call again with the very same bytes until it is. Other
   * errors: nothing was stored; SQLITE_LOG_MIXED while an entry of another log is in the way.
   */
  async append(input: AppendInput, options: CallOptions = {}): Promise<LogEntry> {
    assert(!this.#appending, 'two appends to one log at a time');
    this.#appending = true;
    try {
      this.#tail = await this.#appender.append(input, this.#tail, options);
      this.#id = this.#tail.logId ?? this.#id;
      return this.#tail;
    } finally {
      this.#appending = false;
    }
  }

  /** Any entry by its name, as the bucket has it now; undefined when it is not there. */
  async find(name: string, options: CallOptions = {}): Promise<LogEntry | undefined> {
    const info = await this.#blobs.info(name, options);
    return info === undefined ? undefined : asEntry(info);
  }

  /** The level-0 entry of one transaction, or undefined when it is not there (not yet, or trimmed). */
  async entry(txid: number, options: CallOptions = {}): Promise<LogEntry | undefined> {
    return this.find(segmentName(txid), options);
  }

  /**
   * One transaction, verified; undefined when it is not there. `maxBytes` bounds its compressed size (default 1 GiB,
   * BLOB_TOO_LARGE); who knows its size says so with `size`, which gives the transfer its time. Throws SQLITE_LTX_INVALID or BLOB_CORRUPT when it is damaged.
   */
  async read(txid: number, options: ReadOptions = {}): Promise<Segment | undefined> {
    return this.readEntry(segmentName(txid), options);
  }

  /** As `read`, for any object of the log by its name. */
  async readEntry(name: string, options: ReadOptions = {}): Promise<Segment | undefined> {
    const fetched = await this.fetchEntry(name, options);
    return fetched && { entry: fetched.entry, bytes: fetched.bytes, ltx: fetched.decode() };
  }

  /** As `readEntry`; what is in it is verified when it is decoded. */
  async fetchEntry(name: string, options: ReadOptions = {}): Promise<FetchedEntry | undefined> {
    const { maxBytes = READ_MAX, size = 0, signal } = options;
    const timeoutMs = Math.max(READ_TIMEOUT_MS, transferMs(size));
    const found = await this.#blobs.read(name, { maxBytes, timeoutMs, signal });
    if (found === undefined) return undefined;
    const { bytes } = found;
    const entry = asEntry(found.info);
    const decode = (): DecodedLtx => {
      const ltx = decodeLtx(bytes, `${this.bucket}/${name}`);
      checkHeader(entry, ltx.header, this.bucket);
      return ltx;
    };
    return { entry, bytes, decode };
  }

  /**
   * Opens any object of the log as a stream; undefined when it is not there. See decodeLtxStream for when to trust it. `keep`:
   * a file where what comes is kept, so that the next reading goes on there, see kept-download.ts.
   */
  async open(
    name: string,
    { keep, ...options }: CallOptions & { keep?: string | undefined } = {},
  ): Promise<{ entry: LogEntry; stream: LtxStream } | undefined> {
    const call = { timeoutMs: STREAM_TIMEOUT_MS, ...options };
    const blob = await (keep === undefined ? this.#blobs.get(name, call) : getKept(this.#blobs, name, keep, call));
    if (blob === undefined) return undefined;
    const entry = asEntry(blob.info);
    const stream = await decodeLtxStream(blob.data, `${this.bucket}/${name}`);
    checkHeader(entry, stream.header, this.bucket);
    return { entry, stream };
  }

  /**
   * The newest level-0 entry; undefined when the log is empty. For a caller that is at the end and says so with `known`, the
   * transaction that it has, one round trip where hardly anything was stored since; else the log is listed: behind an entry that a
   * deletion has left over, or that a killed server has brought back, the names are free though the log went on. A reader's
   * view: only an append decides. Throws BLOB_BUCKET_MISSING when there is no bucket.
   */
  async end(options: CallOptions & { known?: number } = {}): Promise<LogEnd | undefined> {
    const { known = 0, ...call } = options;
    const from = Math.max(this.#tail?.maxTxid ?? 0, known);
    const [near, bucket] = await Promise.all([
      this.#endFrom(from, call),
      from > 0 ? this.#blobs.bucketInfo(call) : undefined,
    ]);
    const isRecent =
      near !== undefined && (bucket?.lastRevision ?? Number.POSITIVE_INFINITY) - near.revision < NEVER_GO;
    const listed = isRecent ? undefined : await this.listEnd(call);
    const tail = (near?.maxTxid ?? 0) > (listed?.maxTxid ?? 0) ? near : listed;
    if (!this.#appending) this.#tail = tail;
    return tail === undefined ? undefined : { entry: tail, position: { epoch: tail.epoch, txid: tail.maxTxid } };
  }

  /** As far as names follow each other from one that is there. */
  async #endFrom(from: number, call: CallOptions): Promise<LogEntry | undefined> {
    let tail: LogEntry | undefined;
    if (from > 0)
      for (let at = await this.entry(from, call); at !== undefined; at = await this.entry(at.maxTxid + 1, call))
        tail = at;
    return tail;
  }

  /**
   * Level-0 entries from a transaction on, in order. Not checked for holes: a listing takes its time, and what is deleted
   * meanwhile, oldest first, may leave some in front of it and some behind.
   */
  async entries(from = 1, options: CallOptions = {}): Promise<LogEntry[]> {
    const found = await this.#list(SEGMENTS, options);
    return found.filter((entry) => entry.minTxid >= from && isSingle(entry));
  }

  /**
   * The log as one line, oldest first: single transactions, and what they were merged into at level 1 wherever some of them
   * are gone, also in their midst: a listing is no picture of one moment. Entries may overlap then; none spans two epochs.
   */
  async history(options: CallOptions = {}): Promise<LogEntry[]> {
    const all = await this.#list(ROOT, options);
    const single = new Set(all.filter(isSingle).map((entry) => entry.maxTxid));
    return all.filter((entry) => isSingle(entry) || (entry.level === 1 && !isWithin(entry, single)));
  }

  /** Full images, oldest first. */
  async snapshots(options: CallOptions = {}): Promise<LogEntry[]> {
    return this.#list(SNAPSHOTS, options);
  }

  /** Everything in the log, of all levels, by transaction. */
  async all(options: CallOptions = {}): Promise<LogEntry[]> {
    return this.#list(ROOT, options);
  }

  /** Who wrote what, oldest first, as far back as single transactions and level 1 reach. */
  async epochChain(options: CallOptions = {}): Promise<EpochSpan[]> {
    const spans: EpochSpan[] = [];
    for (const entry of await this.history(options)) {
      const last = spans.at(-1);
      if (last !== undefined && last.epoch === entry.epoch && last.node === entry.node)
        spans[spans.length - 1] = { ...last, fromTxid: Math.min(last.fromTxid, entry.minTxid), toTxid: entry.maxTxid };
      else spans.push({ epoch: entry.epoch, node: entry.node, fromTxid: entry.minTxid, toTxid: entry.maxTxid });
    }
    return spans;
  }

  /** Stores a full image (level 9). See `putMerged` for one that is there already for the transaction. */
  async putSnapshot(
    input: SnapshotInput,
    options: CallOptions & { timeoutMs?: number; replace?: boolean } = {},
  ): Promise<LogEntry> {
    return this.putMerged({ ...input, level: SNAPSHOT_LEVEL, minTxid: 1, maxTxid: input.txid }, options);
  }

  /**
   * Stores a merge of other entries (a compaction, a full image), create-only: one that is there already stays and is
   * returned. With `replace` it goes when the new one is stored: for the same made anew.
   */
  async putMerged(
    input: MergedInput,
    options: CallOptions & { timeoutMs?: number; replace?: boolean } = {},
  ): Promise<LogEntry> {
    const { replace = false, ...call } = options;
    const name = formatName(input);
    const kind = input.isImage === true || input.minTxid === 1 ? 'snapshot' : 'commit';
    const { walEnd, note, logId = this.#id } = input;
    const headers = entryHeaders({ ...input, kind, digest: undefined, walEnd, note, logId });
    try {
      const put = { createOnly: !replace, headers, timeoutMs: STREAM_TIMEOUT_MS, ...call };
      return asEntry(await this.#blobs.put(name, input.data, put));
    } catch (error) {
      const there = hasCode(error, 'BLOB_EXISTS') ? await this.#blobs.info(name, call) : undefined;
      if (there === undefined) throw error;
      return asEntry(there);
    }
  }

  /** The bucket itself, for its upkeep. */
  get store(): Blobs {
    return this.#blobs;
  }

  /** Decodes the whole object without keeping it. Throws when it is damaged; false when it is not there. */
  async verify(name: string, options: CallOptions = {}): Promise<boolean> {
    const opened = await this.open(name, options);
    if (opened === undefined) return false;
    for await (const _ of opened.stream.batches()) options.signal?.throwIfAborted();
    return true;
  }

  /**
   * Entries after a transaction, each once, in order and without gaps, as they are stored; for ever, until the signal
   * aborts (then it just ends). Survives interruptions. Throws SQLITE_LOG_GAP when the next one was trimmed away: start
   * again from a snapshot; SQLITE_LOG_LOST when the log ends before what the caller has, or is another one; BLOB_BUCKET_MISSING when the bucket is gone.
   */
  follow(after: number, options: FollowOptions = {}): AsyncIterable<LogEntry> {
    return followLog({ log: this, blobs: this.#blobs, clock: this.#clock, logger: this.#log }, after, options);
  }

  /** Deletes what nobody needs any more, by a listing of the bucket. See RetentionOptions. */
  trim(options: RetentionOptions = {}): Promise<RetentionResult> {
    return trimLog(this, options);
  }

  /** The newest level-0 entry by listing all of them. */
  async listEnd(options: CallOptions = {}): Promise<LogEntry | undefined> {
    return (await this.entries(1, options)).at(-1);
  }

  async #list(prefix: string, options: CallOptions): Promise<LogEntry[]> {
    const blobs = await this.#blobs.list(prefix, { timeoutMs: LIST_TIMEOUT_MS, ...options });
    const entries = blobs.map(entryOf).filter((entry) => entry !== undefined);
    return entries.sort((a, b) => a.maxTxid - b.maxTxid || a.minTxid - b.minTxid || a.level - b.level);
  }
}

function isSingle({ level, minTxid, maxTxid }: LogEntry): boolean {
  return level === 0 && minTxid === maxTxid;
}

/** Every one of its transactions is in the set. */
function isWithin({ minTxid, maxTxid }: LogEntry, txids: ReadonlySet<number>): boolean {
  for (let txid = minTxid; txid <= maxTxid; txid++) if (!txids.has(txid)) return false;
  return true;
}

/** The contents must be what the name says: an object copied under another name would otherwise be applied. */
function checkHeader(entry: LogEntry, header: { minTxid: number; maxTxid: number }, bucket: string): void {
  const name = parseName(entry.name);
  if (name?.minTxid === header.minTxid && name.maxTxid === header.maxTxid) return;
  throw sqliteErrors.create('SQLITE_LTX_INVALID', {
    object: `${bucket}/${entry.name}`,
    problem: `it contains transactions ${header.minTxid} to ${header.maxTxid}`,
  });
}
