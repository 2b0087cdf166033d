/**
 * Turns what was found in the WAL into the bytes of one log entry. A page that belongs to the database's new size but to
 * no frame (SQLite grew the file without writing it) is taken from the database file.
 */
import { readSync } from 'node:fs';
import type { LtxChunks } from '../log/appender.ts';
import { encodeLtx, encodeLtxInSteps, encodeLtxPages, encodeLtxSnapshot } from '../ltx/encoder.ts';
import { type LtxHeader, type LtxPage, lockPage, type PageEncoding } from '../ltx/header.ts';
import { stampWal } from '../standby/page-one.ts';
import type { WalBatch, WalCursor } from '../wal/reader.ts';

/** First frame of a WAL: what a segment says that has no frames. */
const WAL_START = 32;
/** What has more bytes of pages is not held in memory but read again while it is sent. */
const IN_MEMORY_BYTES = 16 * 1024 * 1024;

export interface PageReaders {
  readonly pageSize: number;
  /** The database file, open for reading. */
  readonly fd: number;
  /** How pages go into the log. */
  readonly pageEncoding: PageEncoding;
  /** The page in a WAL frame. */
  frame(offset: number, into: Uint8Array): Uint8Array;
}

/** Whether the batch will be sent as a stream: its frames must stay in the WAL until then. */
export function isStreamed(batch: WalBatch): boolean {
  return batch.pages.size * batch.from.pageSize > IN_MEMORY_BYTES;
}

/**
 * The commits of a batch as one transaction of the log. A large one (see `isStreamed`) reads the WAL while it is sent, as
 * often as it is tried, with the same bytes each time.
 */
export function encodeFrames(
  txid: number,
  timestamp: number,
  batch: WalBatch & { commit: number },
  oldCommit: number,
  readers: PageReaders,
): Uint8Array | LtxChunks {
  const pgnos = ascendingPages(batch, oldCommit);
  const header = framesHeader(txid, timestamp, batch, readers.pageSize);
  if (!isStreamed(batch))
    return encodeLtx(header, pagesOf(pgnos, batch.pages, readers), readers.pageEncoding, pgnos.length);
  return { header, chunks: () => encodeLtxPages(header, pagesOf(pgnos, batch.pages, readers), readers.pageEncoding) };
}

/** As `encodeFrames`, for a batch that is not streamed: `rest` is awaited now and then. The WAL must not begin anew meanwhile. */
export function encodeFramesInSteps(
  txid: number,
  timestamp: number,
  batch: WalBatch & { commit: number },
  oldCommit: number,
  readers: PageReaders,
  rest: () => Promise<void>,
): Promise<Uint8Array> {
  const pgnos = ascendingPages(batch, oldCommit);
  const header = framesHeader(txid, timestamp, batch, readers.pageSize);
  return encodeLtxInSteps(header, pagesOf(pgnos, batch.pages, readers), readers.pageEncoding, pgnos.length, rest);
}

function framesHeader(
  txid: number,
  timestamp: number,
  batch: WalBatch & { commit: number },
  pageSize: number,
): LtxHeader {
  const { from, end, commit } = batch;
  const wal = { walOffset: from.offset, walSize: end.offset - from.offset, walSalt1: end.salt1, walSalt2: end.salt2 };
  return { pageSize, commit, minTxid: txid, maxTxid: txid, timestamp, ...wal };
}

function ascendingPages(batch: WalBatch & { commit: number }, oldCommit: number): Uint32Array {
  const found: number[] = [];
  for (let pgno = oldCommit + 1; pgno <= batch.commit; pgno++) if (!batch.pages.has(pgno)) found.push(pgno);
  const pgnos = new Uint32Array(batch.pages.size + found.length);
  let length = 0;
  for (const pgno of batch.pages.keys()) pgnos[length++] = pgno;
  pgnos.set(found, length);
  return pgnos.sort();
}

/**
 * A full image: every page as it is at the pinned end of the WAL. Small ones as bytes, large ones as a stream that reads
 * the database while it is sent: the image must stay frozen until then.
 */
export function encodeImage(
  txid: number,
  timestamp: number,
  image: { commit: number; frames: ReadonlyMap<number, number>; end: WalCursor | undefined },
  readers: PageReaders,
): Uint8Array | LtxChunks {
  const { commit, frames, end } = image;
  const { pageSize, pageEncoding } = readers;
  const header = { pageSize, commit, minTxid: txid, maxTxid: txid, timestamp, ...walEndOf(end) };
  if (commit * pageSize <= IN_MEMORY_BYTES)
    return encodeLtx(header, pagesOf(everyPage(commit), frames, readers), pageEncoding);
  const buffer = new Uint8Array(pageSize);
  const read = (pgno: number): Uint8Array => imagePage(pgno, frames, readers, buffer);
  return { header, chunks: () => encodeLtxSnapshot(header, { pageSize, pageCount: commit, read }, pageEncoding) };
}

/** Page 1 alone, as it will be when the file has been switched to WAL: takes the log without changing any data. */
export function encodeClaim(
  txid: number,
  timestamp: number,
  page: Uint8Array,
  commit: number,
  encoding: PageEncoding,
): Uint8Array {
  const first = page.slice();
  stampWal(first);
  const header = { pageSize: page.byteLength, commit, minTxid: txid, maxTxid: txid, timestamp, ...walEndOf(undefined) };
  return encodeLtx(header, [{ pgno: 1, data: first }], encoding);
}

/** One page of the image of a pinned database, for streams. The result is used before the next call. */
export function imagePage(
  pgno: number,
  frames: ReadonlyMap<number, number>,
  readers: PageReaders,
  into: Uint8Array,
): Uint8Array {
  const frame = frames.get(pgno);
  if (frame !== undefined) return readers.frame(frame, into);
  const length = readSync(readers.fd, into, 0, into.byteLength, (pgno - 1) * readers.pageSize);
  into.fill(0, length);
  if (pgno === 1) stampWal(into);
  return into;
}

function* pagesOf(
  ascending: Iterable<number>,
  frames: ReadonlyMap<number, number>,
  readers: PageReaders,
): Generator<LtxPage> {
  const skipped = lockPage(readers.pageSize);
  const buffer = new Uint8Array(readers.pageSize);
  for (const pgno of ascending) if (pgno !== skipped) yield { pgno, data: imagePage(pgno, frames, readers, buffer) };
}

function* everyPage(commit: number): Generator<number> {
  for (let pgno = 1; pgno <= commit; pgno++) yield pgno;
}

function walEndOf(end: WalCursor | undefined): {
  walOffset: number;
  walSize: number;
  walSalt1: number;
  walSalt2: number;
} {
  if (end === undefined) return { walOffset: WAL_START, walSize: 0, walSalt1: 0, walSalt2: 0 };
  return { walOffset: WAL_START, walSize: end.offset - WAL_START, walSalt1: end.salt1, walSalt2: end.salt2 };
}
