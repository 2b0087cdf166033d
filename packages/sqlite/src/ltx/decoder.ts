/**
 * Reads LTX files: whole from memory, verified before anything is handed out; or as a stream, whose pages are to be
 * trusted only once the iteration has ended without an error.
 */
import { HEADER_SIZE, type LtxHeader, type LtxPage, PAGE_HEADER_SIZE } from './header.ts';
import { lz4Decode } from './lz4-block.ts';
import { lz4FrameDecode } from './lz4-frame.ts';
import { LtxParser, type Window } from './parser.ts';

/** Inflated pages are kept up to this size; beyond it they are inflated a second time when asked for. */
const KEEP_MAX = 32 * 1024 * 1024;
const BATCH_BYTES = 256 * 1024;

export interface DecodedLtx {
  readonly header: LtxHeader;
  /** Number of pages contained. */
  readonly pageCount: number;
  /** Ascending. Page data stay valid and must not be changed. */
  pages(): Iterable<LtxPage>;
}

/** Reads only the header. Throws SQLITE_LTX_INVALID. */
export { decodeHeader as peekLtxHeader } from './header.ts';

/**
 * Verifies the whole file (structure, order, index, checksum), then gives access to it. `object` names it in messages.
 * Throws SQLITE_LTX_INVALID. `bytes` must not change afterwards. Memory: at most 32 MiB of inflated pages.
 */
export function decodeLtx(bytes: Uint8Array, object = 'the file'): DecodedLtx {
  const parser = new LtxParser(object);
  const window: Window = { bytes, at: 0, end: bytes.length };
  const cutOff = (): Error => parser.invalid(`it ends after ${bytes.length} bytes, in the middle`);
  if (!parser.start(window)) throw parser.invalid(`only ${bytes.length} bytes, the header alone has ${HEADER_SIZE}`);
  const { header } = parser;
  const kept = new KeptPages(header.pageSize);
  const pgnos: number[] = [];
  const offsets: number[] = [];
  for (;;) {
    const slot = kept.slot();
    const step = parser.next(window, slot.bytes, slot.at);
    if (step === 'more') throw cutOff();
    if (step === 'done') break;
    kept.take();
    pgnos.push(parser.pgno);
    offsets.push(parser.frameOffset);
  }
  if (window.at !== bytes.length) throw parser.invalid(`${bytes.length - window.at} bytes follow its end`);
  const page = (i: number): LtxPage => ({
    pgno: pgnos[i] as number,
    data: kept.get(i) ?? inflate(bytes, offsets[i] as number, header.pageSize),
  });
  return {
    header,
    pageCount: pgnos.length,
    *pages() {
      for (let i = 0; i < pgnos.length; i++) yield page(i);
    },
  };
}

/** A frame that has been verified before. */
function inflate(bytes: Uint8Array, offset: number, pageSize: number): Uint8Array {
  const data = new Uint8Array(pageSize);
  const body = offset + PAGE_HEADER_SIZE;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(offset + 4) === 0) lz4FrameDecode(bytes, body, bytes.length, data, 0, pageSize);
  else lz4Decode(bytes, body + 4, body + 4 + view.getUint32(body), data, 0, pageSize);
  return data;
}

/** Inflated pages in blocks that grow with their number; past KEEP_MAX one slot is used over and over. */
class KeptPages {
  readonly #pageSize: number;
  readonly #blocks: Uint8Array[] = [];
  readonly #pages: Uint8Array[] = [];
  readonly #limit: number;
  #block: Uint8Array;
  #at = 0;

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
    this.#limit = KEEP_MAX / pageSize;
    this.#block = new Uint8Array(pageSize);
  }

  slot(): { readonly bytes: Uint8Array; readonly at: number } {
    return { bytes: this.#block, at: this.#at };
  }

  take(): void {
    if (this.#pages.length >= this.#limit) return;
    this.#pages.push(this.#block.subarray(this.#at, this.#at + this.#pageSize));
    this.#at += this.#pageSize;
    if (this.#at < this.#block.length) return;
    this.#blocks.push(this.#block);
    this.#block = new Uint8Array(Math.max(this.#pageSize, Math.min(2 * this.#block.length, 1024 * 1024)));
    this.#at = 0;
  }

  get(i: number): Uint8Array | undefined {
    return this.#pages[i];
  }
}

export interface LtxStream {
  readonly header: LtxHeader;
  /**
   * Ascending, in batches of up to 256 KiB; to be iterated once. A batch's data are valid until the next one is asked
   * for. Ends normally only when the whole file was verified; throws SQLITE_LTX_INVALID otherwise.
   */
  batches(): AsyncIterable<readonly LtxPage[]>;
  /** Compressed bytes taken from the source so far. */
  consumedBytes(): number;
  /** Lets go of the source, for who wanted only the header. Idempotent; `batches` does it by itself. */
  close(): Promise<void>;
}

/**
 * What receiving leaves behind is several times its size, and left to itself it is collected at 64 MB. Where the process
 * allows it (the database's does), it goes each time that so many bytes of pages have come: a few milliseconds.
 */
const COLLECT_BYTES = 16 * 1024 * 1024;

/** Reads the header from the stream; the rest when `batches` is iterated. Memory: about 1 MiB plus 4 bytes a page. */
export async function decodeLtxStream(source: AsyncIterable<Uint8Array>, object = 'the file'): Promise<LtxStream> {
  const parser = new LtxParser(object);
  const input = new Refill(source);
  while (!parser.start(input.window)) if (!(await input.more())) throw parser.invalid(`it ends within its header`);
  return {
    header: parser.header,
    batches: () => batches(parser, input),
    consumedBytes: () => input.consumed,
    close: () => input.close(),
  };
}

async function* batches(parser: LtxParser, input: Refill): AsyncGenerator<readonly LtxPage[]> {
  const { pageSize } = parser.header;
  const buffer = new Uint8Array(Math.max(pageSize, BATCH_BYTES));
  let batch: LtxPage[] = [];
  let collectable = 0;
  try {
    for (;;) {
      const at = batch.length * pageSize;
      const step = parser.next(input.window, buffer, at);
      if (step === 'done') break;
      if (step === 'more') {
        if (!(await input.more())) throw parser.invalid('it ends in the middle');
        continue;
      }
      batch.push({ pgno: parser.pgno, data: buffer.subarray(at, at + pageSize) });
      if (at + 2 * pageSize <= buffer.length) continue;
      yield batch;
      collectable += at + pageSize;
      batch = [];
      if (collectable < COLLECT_BYTES) continue;
      collectable = 0;
      globalThis.gc?.();
    }
    if (input.window.at < input.window.end || (await input.more())) throw parser.invalid('bytes follow its end');
    if (batch.length > 0) yield batch;
  } finally {
    await input.close();
  }
}

/**
 * The parser's window over chunks of any size: unread bytes move to the front, what comes next goes behind them. Each time
 * at least as much is added as was left, so that a frame in ever so small chunks is looked at a few times only.
 */
class Refill {
  readonly window: Window = { bytes: new Uint8Array(0), at: 0, end: 0 };
  consumed = 0;
  #joined: Uint8Array = new Uint8Array(0);
  readonly #source: AsyncIterator<Uint8Array>;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** False when the source has ended. */
  async more(): Promise<boolean> {
    const { window } = this;
    const rest = window.bytes.subarray(window.at, window.end);
    const wanted = Math.max(1, rest.length);
    const chunks: Uint8Array[] = [];
    let added = 0;
    while (added < wanted) {
      const next = await this.#source.next();
      if (next.done) break;
      added += next.value.length;
      chunks.push(next.value);
    }
    if (added === 0) return false;
    this.consumed += added;
    const length = rest.length + added;
    const [first] = chunks as [Uint8Array];
    if (rest.length === 0 && chunks.length === 1) window.bytes = first;
    else {
      // Used over and over: a new one for every chunk would be garbage as large as the whole file.
      if (this.#joined.length < length) this.#joined = new Uint8Array(2 * length);
      this.#joined.set(rest);
      let at = rest.length;
      for (const chunk of chunks) {
        this.#joined.set(chunk, at);
        at += chunk.length;
      }
      window.bytes = this.#joined;
    }
    window.at = 0;
    window.end = length;
    return true;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
