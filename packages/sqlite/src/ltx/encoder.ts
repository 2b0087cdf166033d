/**
 * Writes LTX files: whole in memory for segments, as a stream for snapshots. Each page is an LZ4 block behind its length,
 * or an LZ4 frame where readers of old must be served. Bad input from the caller (order, size, the lock page) is a bug
 * and asserts.
 */
import { assert } from '@canopy/core';
import { Crc64 } from './crc64.ts';
import { FrameIndex } from './frame-index.ts';
import {
  encodeHeader,
  HEADER_SIZE,
  headerProblem,
  type LtxHeader,
  type LtxPage,
  lockPage,
  PAGE_FLAG_SIZE,
  PAGE_HEADER_SIZE,
  type PageEncoding,
} from './header.ts';
import { Lz4Encoder, lz4Bound } from './lz4-block.ts';
import { FRAME_OVERHEAD, lz4FrameEncode } from './lz4-frame.ts';

const BLOCK_HEADER_SIZE = PAGE_HEADER_SIZE + 4;
const STREAM_CHUNK = 256 * 1024;
/** Three numbers of at most ten bytes. */
const INDEX_ENTRY_MAX = 30;
/** Header, ends and trailer, with room to spare. */
const TAIL_BYTES = 1024;
/** Bytes of pages, encoded in about two milliseconds. */
const STEP_BYTES = 512 * 1024;

/** The last segment's buffer, for the next one; away while in use. */
let spare: Uint8Array | undefined;
const SPARE_MAX = 4 * 1024 * 1024;

/** One per process is enough: encoding never waits in the middle of a page. */
const lz4 = new Lz4Encoder();

/**
 * One LTX file in memory. Pages must ascend, fit the header's page size, not lie beyond `commit`, and not be the lock
 * page; with minTxid 1 they must be all pages. The result is the caller's own. Default encoding `block`. `pageCount`, for who
 * knows it, spares a large file from growing by copies.
 */
export function encodeLtx(
  header: LtxHeader,
  pages: Iterable<LtxPage>,
  encoding: PageEncoding = 'block',
  pageCount = 0,
): Uint8Array {
  const writer = new LtxWriter(header, bufferFor(header, pageCount), encoding);
  for (const page of pages) writer.page(page.pgno, page.data);
  return whole(writer);
}

/** As `encodeLtx`, a few hundred KB at a time: `rest` is awaited between them. The pages must stay as they are meanwhile. */
export async function encodeLtxInSteps(
  header: LtxHeader,
  pages: Iterable<LtxPage>,
  encoding: PageEncoding,
  pageCount: number,
  rest: () => Promise<void>,
): Promise<Uint8Array> {
  const writer = new LtxWriter(header, bufferFor(header, pageCount), encoding);
  let sinceRest = 0;
  for (const page of pages) {
    writer.page(page.pgno, page.data);
    sinceRest += page.data.length;
    if (sinceRest < STEP_BYTES) continue;
    sinceRest = 0;
    await rest();
  }
  return whole(writer);
}

/** Memory that is not written to costs nothing, so a large one is as large as it can get. */
function bufferFor({ pageSize }: LtxHeader, pageCount: number): Uint8Array {
  if (pageCount * pageSize > SPARE_MAX) return new Uint8Array(pageCount * largestPage(pageSize) + TAIL_BYTES);
  const buffer = spare ?? new Uint8Array(64 * 1024);
  spare = undefined;
  return buffer;
}

/** A small file leaves its buffer to the next one. A large one is handed out in it: a copy would cost as much as its checksum. */
function whole(writer: LtxWriter): Uint8Array {
  writer.finish();
  for (const piece of writer.tail()) writer.append(piece);
  if (writer.buffer.length > SPARE_MAX) return writer.buffer.subarray(0, writer.length);
  const bytes = writer.take();
  spare = writer.buffer;
  return bytes;
}

/** Where a snapshot's pages come from. The caller guarantees that they don't change while they are read. */
export interface PageSource {
  readonly pageSize: number;
  readonly pageCount: number;
  /** The page's bytes; used before the next call. The lock page is never asked for. */
  read(pgno: number): Uint8Array;
}

/** A full image as a stream of chunks of about 256 KiB: memory stays within a few MiB plus 4 bytes a page. */
export function encodeLtxSnapshot(
  header: LtxHeader,
  source: PageSource,
  encoding: PageEncoding = 'block',
): AsyncGenerator<Uint8Array> {
  assert(
    header.commit === source.pageCount && header.pageSize === source.pageSize,
    'snapshot header and source differ',
  );
  return encodeLtxPages(header, everyPage(source), encoding);
}

function* everyPage(source: PageSource): Generator<LtxPage> {
  const skip = lockPage(source.pageSize);
  for (let pgno = 1; pgno <= source.pageCount; pgno++) if (pgno !== skip) yield { pgno, data: source.read(pgno) };
}

/** As `encodeLtx`, as a stream of chunks of about 256 KiB. Each page is used before the next is asked for. */
export async function* encodeLtxPages(
  header: LtxHeader,
  pages: Iterable<LtxPage>,
  encoding: PageEncoding = 'block',
): AsyncGenerator<Uint8Array> {
  const room = STREAM_CHUNK + 2 * (lz4Bound(header.pageSize) + FRAME_OVERHEAD);
  const writer = new LtxWriter(header, new Uint8Array(room), encoding);
  for (const { pgno, data } of pages) {
    writer.page(pgno, data);
    if (writer.length >= STREAM_CHUNK) yield writer.take();
  }
  yield* ending(writer);
}

/**
 * Any LTX file as a stream of chunks of about 256 KiB. The pages obey the rules of encodeLtx; a batch is used up before
 * the next one is asked for. Memory as encodeLtxSnapshot.
 */
export async function* encodeLtxStream(
  header: LtxHeader,
  batches: AsyncIterable<readonly LtxPage[]>,
  encoding: PageEncoding = 'block',
): AsyncGenerator<Uint8Array> {
  const room = STREAM_CHUNK + 2 * (lz4Bound(header.pageSize) + FRAME_OVERHEAD);
  const writer = new LtxWriter(header, new Uint8Array(room), encoding);
  for await (const batch of batches) {
    for (const page of batch) {
      writer.page(page.pgno, page.data);
      if (writer.length >= STREAM_CHUNK) yield writer.take();
    }
  }
  yield* ending(writer);
}

function* ending(writer: LtxWriter): Generator<Uint8Array> {
  writer.finish();
  for (const piece of writer.tail()) {
    writer.append(piece);
    if (writer.length >= STREAM_CHUNK) yield writer.take();
  }
  yield writer.take();
}

function largestPage(pageSize: number): number {
  return BLOCK_HEADER_SIZE + lz4Bound(pageSize) + FRAME_OVERHEAD + INDEX_ENTRY_MAX;
}

class LtxWriter {
  readonly #header: LtxHeader;
  readonly #lockPage: number;
  readonly #encoding: PageEncoding;
  readonly #crc = new Crc64();
  readonly #index = new FrameIndex(HEADER_SIZE);
  #out: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(header: LtxHeader, buffer: Uint8Array, encoding: PageEncoding) {
    const problem = headerProblem(header);
    assert(problem === undefined, `LTX header with ${problem}`);
    this.#header = header;
    this.#encoding = encoding;
    this.#lockPage = lockPage(header.pageSize);
    this.#out = buffer;
    this.#view = new DataView(buffer.buffer);
    const bytes = encodeHeader(header);
    this.#crc.update(bytes);
    this.append(bytes);
  }

  get length(): number {
    return this.#length;
  }

  get buffer(): Uint8Array {
    return this.#out;
  }

  page(pgno: number, data: Uint8Array): void {
    this.#check(pgno, data);
    this.#reserve(largestPage(data.length));
    const start = this.#length;
    this.#view.setUint32(start, pgno);
    this.#view.setUint16(start + 4, this.#encoding === 'block' ? PAGE_FLAG_SIZE : 0);
    const end = this.#encoding === 'block' ? this.#block(start, data) : this.#frame(start, data);
    this.#crc.update(data);
    this.#index.add(pgno, end - start);
    this.#length = end;
  }

  #block(start: number, data: Uint8Array): number {
    const body = start + BLOCK_HEADER_SIZE;
    const end = lz4.encode(data, this.#out, body);
    this.#view.setUint32(start + PAGE_HEADER_SIZE, end - body);
    this.#crc.update(this.#out, start, body);
    return end;
  }

  #frame(start: number, data: Uint8Array): number {
    const body = start + PAGE_HEADER_SIZE;
    this.#crc.update(this.#out, start, body);
    return lz4FrameEncode(lz4, data, this.#out, body);
  }

  /** Ends the page frames. */
  finish(): void {
    const { commit, minTxid } = this.#header;
    const skipped = commit >= this.#lockPage ? 1 : 0;
    assert(minTxid !== 1 || this.#index.count === commit - skipped, 'a full image must hold every page');
    const zero = new Uint8Array(PAGE_HEADER_SIZE);
    this.#crc.update(zero);
    this.append(zero);
  }

  /** Index, its length and the trailer. */
  *tail(): Generator<Uint8Array> {
    for (const piece of this.#index.encoded()) {
      this.#crc.update(piece);
      yield piece;
    }
    const end = new Uint8Array(24);
    const view = new DataView(end.buffer);
    view.setBigUint64(0, BigInt(this.#index.encodedLength));
    this.#crc.update(end, 0, 16);
    view.setUint32(16, (this.#crc.hi | 0x8000_0000) >>> 0);
    view.setUint32(20, this.#crc.lo);
    yield end;
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#out.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What was written since the last take, as a copy of its own. */
  take(): Uint8Array {
    const bytes = this.#out.slice(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  #check(pgno: number, data: Uint8Array): void {
    const { pageSize, commit, minTxid } = this.#header;
    const last = this.#index.lastPgno;
    assert(data.length === pageSize, `page ${pgno} has ${data.length} bytes, not ${pageSize}`);
    assert(pgno > last && pgno <= commit, `page ${pgno} after ${last} of ${commit}`);
    assert(pgno !== this.#lockPage, 'the lock page is never stored');
    if (minTxid === 1)
      assert(
        pgno === (last + 1 === this.#lockPage ? last + 2 : last + 1),
        `page ${pgno} after ${last} in a full image`,
      );
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#out.length) return;
    const grown = new Uint8Array(Math.max(this.#out.length * 2, this.#length + bytes));
    grown.set(this.#out.subarray(0, this.#length));
    this.#out = grown;
    this.#view = new DataView(grown.buffer);
  }
}
