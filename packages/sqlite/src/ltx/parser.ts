/**
 * The one reader of LTX bytes, as a pull parser over a window that its shells refill: `next` consumes one step or says
 * that it needs more bytes. Nothing in the input can make it allocate more than one frame, loop, or read outside the
 * window; whatever is wrong is SQLITE_LTX_INVALID. The file is proven good only when `done` was returned.
 */
import { sqliteErrors } from '../errors.ts';
import { Crc64 } from './crc64.ts';
import { FrameIndex } from './frame-index.ts';
import {
  decodeHeader,
  HEADER_SIZE,
  type LtxHeader,
  lockPage,
  PAGE_FLAG_SIZE,
  PAGE_HEADER_SIZE,
  TRAILER_SIZE,
} from './header.ts';
import { lz4Bound, lz4Decode } from './lz4-block.ts';
import { FRAME_OVERHEAD, lz4FrameDecode } from './lz4-frame.ts';

/** Bytes not yet consumed: `bytes[at, end)`. The parser moves `at`. */
export interface Window {
  bytes: Uint8Array;
  at: number;
  end: number;
}

export type Step = 'more' | 'page' | 'done';

export class LtxParser {
  readonly object: string;
  /** Set once the first step has not returned `more`. */
  header!: LtxHeader;
  /** After `page`: its number, and where its frame lies in the file. */
  pgno = 0;
  frameOffset = 0;
  readonly #crc = new Crc64();
  readonly #index = new FrameIndex(HEADER_SIZE);
  #state: 'header' | 'frames' | 'index' | 'tail' | 'done' = 'header';
  #lockPage = 0;
  #expected: Iterator<Uint8Array> | undefined;
  #piece: Uint8Array = new Uint8Array(0);

  /** `object` names the file in messages. */
  constructor(object: string) {
    this.object = object;
  }

  /** The number of page frames seen. */
  get count(): number {
    return this.#index.count;
  }

  /** Reads the header if it is there; false when more bytes are needed. */
  start(window: Window): boolean {
    if (this.#state !== 'header') return true;
    if (window.end - window.at < HEADER_SIZE) return false;
    const bytes = window.bytes.subarray(window.at, window.at + HEADER_SIZE);
    this.header = decodeHeader(bytes, this.object);
    this.#lockPage = lockPage(this.header.pageSize);
    this.#crc.update(bytes);
    window.at += HEADER_SIZE;
    this.#state = 'frames';
    return true;
  }

  /** One step. For `page` the inflated page is in `into[at, at + pageSize)`. */
  next(window: Window, into: Uint8Array, at: number): Step {
    if (this.#state === 'frames') {
      const step = this.#frame(window, into, at);
      if (step !== 'done') return step;
      this.#state = 'index';
    }
    if (this.#state === 'index') {
      if (!this.#matchIndex(window)) return 'more';
      this.#state = 'tail';
    }
    if (this.#state === 'tail') {
      if (window.end - window.at < 8 + TRAILER_SIZE) return 'more';
      this.#tail(window);
      this.#state = 'done';
    }
    return this.#state === 'done' ? 'done' : 'more';
  }

  invalid(problem: string): Error {
    return sqliteErrors.create('SQLITE_LTX_INVALID', { object: this.object, problem });
  }

  #frame(window: Window, into: Uint8Array, at: number): Step {
    const { bytes, at: start, end } = window;
    if (end - start < PAGE_HEADER_SIZE) return 'more';
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const pgno = view.getUint32(start);
    const flags = view.getUint16(start + 4);
    if (pgno === 0) {
      if (flags !== 0) throw this.invalid('the end of the page frames is damaged');
      this.#checkComplete();
      this.#crc.update(bytes, start, start + PAGE_HEADER_SIZE);
      window.at += PAGE_HEADER_SIZE;
      return 'done';
    }
    this.#checkPage(pgno, flags);
    const { pageSize } = this.header;
    let next: number;
    if (flags === PAGE_FLAG_SIZE) {
      const body = start + PAGE_HEADER_SIZE + 4;
      if (end < body) return 'more';
      const size = view.getUint32(start + PAGE_HEADER_SIZE);
      if (size === 0 || size > lz4Bound(pageSize)) throw this.invalid(`page ${pgno} claims ${size} compressed bytes`);
      if (end - body < size) return 'more';
      const inflated = lz4Decode(bytes, body, body + size, into, at, pageSize);
      if (inflated !== pageSize) throw this.invalid(`page ${pgno} does not decompress`);
      this.#crc.update(bytes, start, body);
      next = body + size;
    } else {
      const body = start + PAGE_HEADER_SIZE;
      const size = lz4FrameDecode(bytes, body, end, into, at, pageSize);
      if (size < 0) throw this.invalid(`page ${pgno} does not decompress`);
      if (size === 0) {
        if (end - body > lz4Bound(pageSize) + FRAME_OVERHEAD) throw this.invalid(`page ${pgno} does not decompress`);
        return 'more';
      }
      this.#crc.update(bytes, start, body);
      next = body + size;
    }
    this.#crc.update(into, at, at + pageSize);
    this.pgno = pgno;
    this.frameOffset = this.#index.end;
    this.#index.add(pgno, next - start);
    window.at = next;
    return 'page';
  }

  #checkPage(pgno: number, flags: number): void {
    const last = this.#index.lastPgno;
    if ((flags & ~PAGE_FLAG_SIZE) !== 0) throw this.invalid(`page ${pgno} has unknown flags`);
    if (pgno <= last) throw this.invalid(`page ${pgno} comes after page ${last}`);
    if (pgno > this.header.commit) throw this.invalid(`page ${pgno} lies beyond the ${this.header.commit} of the file`);
    if (pgno === this.#lockPage) throw this.invalid('it holds the lock page');
    if (this.header.minTxid === 1 && pgno !== last + 1 && !(pgno === last + 2 && last + 1 === this.#lockPage))
      throw this.invalid(`a full image without page ${last + 1}`);
  }

  #checkComplete(): void {
    const { commit, minTxid } = this.header;
    const all = commit >= this.#lockPage ? commit - 1 : commit;
    if (minTxid === 1 && this.#index.count !== all)
      throw this.invalid(`a full image with ${this.#index.count} of ${all} pages`);
  }

  /** The index has one right form, so it is compared with what ours would be. False when more bytes are needed. */
  #matchIndex(window: Window): boolean {
    this.#expected ??= this.#index.encoded();
    for (;;) {
      if (this.#piece.length === 0) {
        const next = this.#expected.next();
        if (next.done) return true;
        this.#piece = next.value;
      }
      const length = Math.min(this.#piece.length, window.end - window.at);
      if (length === 0) return false;
      for (let i = 0; i < length; i++)
        if (this.#piece[i] !== window.bytes[window.at + i])
          throw this.invalid('its page index does not match its pages');
      this.#crc.update(window.bytes, window.at, window.at + length);
      window.at += length;
      this.#piece = this.#piece.subarray(length);
    }
  }

  #tail(window: Window): void {
    const { bytes, at } = window;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8 + TRAILER_SIZE);
    if (view.getBigUint64(0) !== BigInt(this.#index.encodedLength)) throw this.invalid('its index length is wrong');
    this.#crc.update(bytes, at, at + 16);
    if (view.getUint32(16) !== (this.#crc.hi | 0x8000_0000) >>> 0 || view.getUint32(20) !== this.#crc.lo)
      throw this.invalid('its checksum does not match its contents');
    window.at += 8 + TRAILER_SIZE;
  }
}
