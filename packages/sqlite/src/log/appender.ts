/**
 * The fence. A segment is put create-only under the name of its transaction, so of two primaries one finds it taken. Two
 * rules keep that true: an append follows an entry that is known to be there and whose epoch is not higher, and where
 * `trim` may have freed names while a primary slept, the append looks again before it believes its success.
 */
import { createHash } from 'node:crypto';
import { assert, type Epoch, epoch, hasCode, type Logger, type Random } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { peekLtxHeader } from '../ltx/decoder.ts';
import type { LtxHeader } from '../ltx/header.ts';
import { isOtherLog, newLogId } from './identity.ts';
import { asEntry, type EntryKind, entryHeaders, type LogEntry, segmentName, type WalChain } from './names.ts';
import type { CallOptions, LogView } from './view.ts';

/** An object up to this size is one chunk and one entry in the bucket's stream, which counts both in its revisions. */
const ONE_CHUNK_BYTES = 64 * 1024;
const ONE_CHUNK_MESSAGES = 2;
/** Bytes in memory get this long, and what they take on a slow link (256 bytes a millisecond). */
const PUT_BASE_MS = 10_000;
const PUT_BYTES_PER_MS = 256;
/** Nothing was stored, for certain. */
const REFUSALS = [
  'BLOB_BUCKET_MISSING',
  'BUCKET_FULL',
  'NATS_STORAGE_FULL',
  'NATS_PERMISSION',
  'SQLITE_IMAGE_MOVED',
  'SQLITE_LOG_MIXED',
  // Of a store that is a directory: without its row in the index nothing is there, and a row that had no room is not.
  'SQLITE_DISK_FULL',
] as const;
const STREAM_TIMEOUT_MS = 60 * 60_000;
/** So far before the newest entry the log goes back at least: the newest 16 are never trimmed, and one may just be added. */
const BACK = 14;

export interface AppendInput {
  readonly txid: number;
  readonly epoch: Epoch;
  readonly node: string;
  readonly kind: EntryKind;
  /**
   * A whole LTX file with minTxid = maxTxid = txid and walOffset >= 32. Must not change until the call settles. A full
   * image of any size may come as a stream.
   */
  readonly bytes: Uint8Array | LtxChunks;
  /** The WAL's running checksum at the entry's end. */
  readonly walChain?: WalChain | undefined;
  /** Free text for whoever reads the entry; one line. */
  readonly note?: string | undefined;
}

/** An LTX file that does not fit into memory. `chunks` is called once per try. */
export interface LtxChunks {
  readonly header: LtxHeader;
  chunks(): AsyncIterable<Uint8Array>;
}

export class Appender {
  readonly #log: LogView;
  readonly #blobs: Blobs;
  readonly #logger: Logger;
  readonly #random: Random;
  /** For a log that has none; the same at every try. */
  #newId: string | undefined;

  constructor(log: LogView, blobs: Blobs, logger: Logger, random: Random) {
    this.#log = log;
    this.#blobs = blobs;
    this.#logger = logger;
    this.#random = random;
  }

  /** `tail`: the newest entry as last known. See SegmentLog.append. */
  async append(input: AppendInput, tail: LogEntry | undefined, options: CallOptions): Promise<LogEntry> {
    const { txid, bytes } = input;
    const whole = bytes instanceof Uint8Array;
    const header = whole ? peekLtxHeader(bytes, `transaction ${txid}`) : bytes.header;
    assert(header.minTxid === txid && header.maxTxid === txid, `transaction ${txid} with the header of another`);
    assert(header.walOffset >= 32, 'a segment must have a WAL offset of at least 32');
    assert(input.epoch > 0, 'an append needs an epoch');
    const before = await this.#predecessor(input, tail, options);
    const sha256 = whole ? createHash('sha256').update(bytes).digest() : undefined;
    const digest = sha256?.toString('hex');
    const headers = entryHeaders({
      epoch: input.epoch,
      node: input.node,
      kind: txid === 1 ? 'snapshot' : input.kind,
      timestamp: header.timestamp,
      digest,
      walEnd: {
        salt1: header.walSalt1,
        salt2: header.walSalt2,
        offset: header.walOffset + header.walSize,
        chain: input.walChain,
      },
      note: input.note,
      logId: this.#idBehind(before),
    });
    // Beside the put, so that it costs no time. It is one of two proofs, see #guard; a failure of it is awaited there.
    const seen = before === undefined || !isSmall(bytes) ? undefined : this.#isThere(before, options);
    seen?.catch(() => {});
    try {
      const entry = await this.#putSegment(input, before, sha256, headers, options);
      await this.#guard(before, entry, input, seen, options);
      return entry;
    } catch (error) {
      // From the put on, whatever is not a clear refusal may have left the object there.
      if (hasCode(error, 'SQLITE_FENCED', 'SQLITE_LOG_LOST', 'SQLITE_APPEND_UNKNOWN', ...REFUSALS)) throw error;
      throw this.#unknown(txid, error);
    }
  }

  /** A log's id comes from its first entry. Where the entry before has none, from what is known of the log besides. */
  #idBehind(before: LogEntry | undefined): string {
    const known = before === undefined ? undefined : (before.logId ?? this.#log.id);
    this.#newId ??= known === undefined ? newLogId(this.#random) : undefined;
    return known ?? (this.#newId as string);
  }

  /** The entry that this one follows; refuses to make a hole, to write under a lower epoch or behind another log. */
  async #predecessor(
    input: AppendInput,
    tail: LogEntry | undefined,
    options: CallOptions,
  ): Promise<LogEntry | undefined> {
    const { txid } = input;
    if (txid === 1) return undefined;
    const known = tail?.maxTxid === txid - 1 ? tail : await this.#log.entry(txid - 1, options);
    if (known === undefined) {
      const end = await this.#log.listEnd(options);
      if (end !== undefined && end.maxTxid >= txid) throw this.#fenced(input, end);
      const from = (end?.maxTxid ?? 0) + 1;
      throw this.#gap(from, txid - 1, `transaction ${txid} would leave a hole`);
    }
    if (known.epoch > input.epoch || isOtherLog(known.logId, this.#log.id)) throw this.#fenced(input, known);
    return known;
  }

  async #putSegment(
    input: AppendInput,
    before: LogEntry | undefined,
    sha256: Buffer | undefined,
    headers: Record<string, string>,
    options: CallOptions,
  ): Promise<LogEntry> {
    const name = segmentName(input.txid);
    try {
      const put = { createOnly: true, headers, signal: options.signal };
      if (input.bytes instanceof Uint8Array) {
        const hint = { timeoutMs: transferMs(input.bytes.length), ...(sha256 === undefined ? {} : { sha256 }) };
        return asEntry(await this.#blobs.put(name, input.bytes, { ...put, ...hint }));
      }
      return asEntry(await this.#blobs.put(name, input.bytes.chunks(), { ...put, timeoutMs: STREAM_TIMEOUT_MS }));
    } catch (error) {
      if (hasCode(error, ...REFUSALS)) throw error;
      const taken = hasCode(error, 'BLOB_EXISTS');
      // After a put that the caller has aborted the question still needs an answer.
      const info = await this.#blobs.info(name, taken ? options : {});
      const there = info === undefined ? undefined : asEntry(info);
      if (there === undefined) {
        if (taken) throw this.#fenced(input, await this.#log.listEnd(options));
        // Absent now does not mean that it won't land still.
        throw this.#unknown(input.txid, error);
      }
      const ours = there.epoch === input.epoch && there.node === input.node && there.digest === sha256?.toString('hex');
      const isOther = before !== undefined && isOtherLog(there.logId, headers['Canopy-Log']);
      if (isOther && (await this.#isThere(before, options))) throw this.#mixed(there, headers['Canopy-Log']);
      if (!ours || isOther) throw this.#fenced(input, there);
      return there;
    }
  }

  /**
   * Believes a put only when the entry before it is there, in the same bucket. Two things free names. `trim` does, and a
   * primary that was frozen for that long would find its name free and think that it had extended the log; and a bucket
   * that was deleted and made anew, or restored from an older backup, lacks what this primary knows to be stored. So:
   * where the predecessor was there during the put and the revisions show that nobody else wrote between the two, the
   * name is new. Otherwise the predecessor must still be there now (names are freed oldest first, and the newest two
   * never). If it is not, what we just stored is taken away again: the log went on without us, or it lost its past. A
   * predecessor that a deletion has left over, or a killed server has brought back, is there alone: where the log does not
   * go back from it as far as the newest entries do, its end is looked at. No clock is involved.
   */
  async #guard(
    before: LogEntry | undefined,
    entry: LogEntry,
    input: AppendInput,
    seen: Promise<boolean> | undefined,
    options: CallOptions,
  ): Promise<void> {
    let isThere = false;
    if (before !== undefined) {
      const messages = entry.revision - before.revision;
      const isNext = entry.size <= ONE_CHUNK_BYTES && messages > 0 && messages <= ONE_CHUNK_MESSAGES;
      if (isNext && (await seen)) return;
      const back = before.maxTxid - BACK;
      const joining = back < 1 ? undefined : this.#log.entry(back, options);
      joining?.catch(() => {});
      isThere = await this.#isThere(before, options);
      if (isThere && (await joining) !== undefined) return;
    }
    const end = await this.#log.listEnd(options);
    const isStray = isThere && isOtherLog(end?.logId, entry.logId);
    const movedOn = end !== undefined && end.maxTxid > entry.maxTxid && !isStray;
    if ((before === undefined || isThere) && !movedOn) return;
    // Somebody may have begun the log anew up to here, under an epoch of its own: that is a successor too.
    const instead = before === undefined ? undefined : await this.#log.entry(before.maxTxid, options);
    await this.#blobs.delete(entry.name, options);
    this.#logger.warn('append_withdrawn', { bucket: this.#log.bucket, txid: entry.maxTxid, end: end?.maxTxid ?? 0 });
    if (movedOn) throw this.#fenced(input, end);
    if (instead !== undefined && instead.epoch > input.epoch) throw this.#fenced(input, instead);
    throw this.#lost(before?.maxTxid ?? 0);
  }

  /** The very entry, not another under its name. A bucket may have been copied, so the revision says nothing. */
  async #isThere(before: LogEntry, options: CallOptions): Promise<boolean> {
    const now = await this.#log.entry(before.maxTxid, options);
    return (
      now !== undefined &&
      now.epoch === before.epoch &&
      now.node === before.node &&
      now.digest === before.digest &&
      !isOtherLog(now.logId, before.logId) &&
      now.timestamp === before.timestamp
    );
  }

  /** Of another log it is no successor: this one was made anew. */
  #fenced(input: AppendInput, by: LogEntry | undefined): Error {
    if (isOtherLog(by?.logId, this.#log.id)) return this.#lost(Math.max(1, input.txid - 1));
    return sqliteErrors.create('SQLITE_FENCED', {
      bucket: this.#log.bucket,
      txid: input.txid,
      epoch: input.epoch,
      node: input.node,
      takenEpoch: by?.epoch ?? epoch(0),
      takenNode: by?.node ?? 'another program',
      takenTxid: by?.maxTxid ?? input.txid,
    });
  }

  /** Somebody whose own log this once was: it finds that out and takes its entry away, unless it is killed just then. */
  #mixed({ maxTxid: txid, logId }: LogEntry, own: string | undefined): Error {
    return sqliteErrors.create('SQLITE_LOG_MIXED', { bucket: this.#log.bucket, txid, log: logId, before: own });
  }

  #lost(txid: number): Error {
    return sqliteErrors.create('SQLITE_LOG_LOST', { bucket: this.#log.bucket, txid });
  }

  #unknown(txid: number, cause: unknown): Error {
    return sqliteErrors.create('SQLITE_APPEND_UNKNOWN', { bucket: this.#log.bucket, txid }, cause);
  }

  #gap(from: number, to: number, problem: string): Error {
    return sqliteErrors.create('SQLITE_LOG_GAP', { bucket: this.#log.bucket, from, to, problem });
  }
}

/** How long a transfer of so many bytes may take before it counts as failed. */
export function transferMs(bytes: number): number {
  return PUT_BASE_MS + Math.ceil(bytes / PUT_BYTES_PER_MS);
}

function isSmall(bytes: Uint8Array | LtxChunks): boolean {
  return bytes instanceof Uint8Array && bytes.length <= ONE_CHUNK_BYTES;
}
