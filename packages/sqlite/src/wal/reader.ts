/**
 * Reads transactions out of a live WAL file, from a cursor on. A frame counts only when its salts are the cursor's and the
 * checksum chain reaches it without a break; everything behind the last such commit is not there yet. A commit frame that
 * is there need not be a commit: whoever reads beside living writers gives the limit that the wal-index names.
 * The file's size says nothing: a restarted WAL keeps its old tail. The reader never writes, never locks and keeps no
 * state between passes: the cursor is all there is, and every pass first proves that the cursor still holds.
 * It opens and closes nothing; SQLite holds no locks on the -wal file, so its descriptor may come and go freely.
 */
import { fstatSync, readSync } from 'node:fs';
import { sqliteErrors } from '../errors.ts';
import { FRAME_HEADER_SIZE, parseWalHeader, WAL_HEADER_SIZE, WalChecksum, type WalHeader } from './header.ts';

const CHUNK_BYTES = 1024 * 1024;
const FIRST_FRAMES = 8;

/** Where reading goes on: the end of the last committed frame taken, in one generation of the WAL. Plain JSON. */
export interface WalCursor {
  /** Bytes from the start of the file; 32 = before the first frame. */
  readonly offset: number;
  readonly salt1: number;
  readonly salt2: number;
  /** The chain's checksum at `offset`. */
  readonly checksum1: number;
  readonly checksum2: number;
  readonly pageSize: number;
  readonly bigEndian: boolean;
}

export type WalScan =
  /** There is no WAL, or SQLite has not written its header yet. Only for reading without a cursor. */
  | { readonly type: 'empty' }
  | WalBatch
  /**
   * A new generation has begun and everything of the cursor's was read, as far as it can be seen. `contiguous`: exactly
   * one restart happened and our last frame is still there, so nothing was missed: go on with `next`. Otherwise commits
   * may have been missed: a full image is needed.
   */
  | { readonly type: 'restarted'; readonly contiguous: boolean; readonly reason: string; readonly next: WalCursor }
  /** The file is shorter than the cursor, or its header is gone: a full image is needed. */
  | { readonly type: 'truncated'; readonly size: number }
  /** The frame before the cursor is no longer ours though the salts are: a full image is needed. */
  | { readonly type: 'overwritten' };

export interface WalBatch {
  readonly type: 'batch';
  readonly header: WalHeader;
  readonly from: WalCursor;
  /** Behind the last commit found; equal to `from` when there was none. */
  readonly end: WalCursor;
  /** Commit frames between `from` and `end`. */
  readonly transactions: number;
  /** Database size in pages after the last commit; undefined when there was none. */
  readonly commit: number | undefined;
  /** Newest committed frame of each page: offset of the frame in the file. Pages beyond `commit` are not in it. */
  readonly pages: ReadonlyMap<number, number>;
  /** The pass ended at its limit; read again from `end` at once. */
  readonly more: boolean;
  /** Valid bytes behind `end` of a transaction that has not committed; they are read again by every pass. */
  readonly pendingBytes: number;
}

export interface WalReaderOptions {
  /** A pass ends at the first commit past this many bytes. Default 64 MiB. One larger transaction is never cut. */
  readonly maxBytes?: number;
}

export class WalReader {
  readonly #fd: number;
  readonly #maxBytes: number;
  #chunk = new Uint8Array(0);
  readonly #head = new Uint8Array(WAL_HEADER_SIZE);

  /** `fd` is open for reading and stays the caller's. Cheap; no I/O. */
  constructor(fd: number, options: WalReaderOptions = {}) {
    this.#fd = fd;
    this.#maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
  }

  /** One bounded pass from `cursor`, or from the start of the present generation. Synchronous; may take 100 ms when full. */
  read(cursor?: WalCursor): WalScan {
    const header = this.header();
    if (cursor === undefined) return header === undefined ? { type: 'empty' } : this.#scan(header, startOf(header));
    const { size } = fstatSync(this.#fd);
    if (header === undefined || header.pageSize !== cursor.pageSize || size < cursor.offset)
      return { type: 'truncated', size };
    if (header.salt1 !== cursor.salt1 || header.salt2 !== cursor.salt2) return this.#restarted(header, cursor);
    return this.isIntact(cursor) ? this.#scan(header, cursor) : { type: 'overwritten' };
  }

  /** As `read`, of frames that end at `limit` or before; `from` must be known to hold. Undefined when there is no header. */
  scan(from: WalCursor, limit: number): WalBatch | undefined {
    const header = this.header();
    return header === undefined ? undefined : this.#scan(header, from, limit);
  }

  /**
   * Reads the page of a frame found by `read` into `into` (one page long) and returns it. Valid only while the WAL cannot
   * restart (a pinned read transaction), or when a later `read(end)` still finds the cursor in place. Throws
   * SQLITE_WAL_CHANGED when the file has become shorter.
   */
  page(frame: number, into: Uint8Array): Uint8Array {
    const length = readSync(this.#fd, into, 0, into.length, frame + FRAME_HEADER_SIZE);
    if (length < into.length) throw sqliteErrors.create('SQLITE_WAL_CHANGED', { offset: frame });
    return into;
  }

  /** The newest generation may have begun over frames of the old one that nobody has read: those come first. */
  #restarted(header: WalHeader, cursor: WalCursor): WalScan {
    const next = startOf(header);
    const lost = (reason: string): WalScan => ({ type: 'restarted', contiguous: false, reason, next });
    if (header.salt1 !== (cursor.salt1 + 1) >>> 0) return lost('the WAL was restarted more than once');
    if (cursor.offset === WAL_HEADER_SIZE) return lost('the WAL was restarted before its frames were read');
    const rest = this.#scan(header, cursor);
    if (rest.transactions > 0) return rest;
    // Only a tail that is still there after the scan proves that the scan saw what followed it.
    if (!this.isIntact(cursor)) return lost('the WAL was restarted and has overwritten the last frame read');
    return { type: 'restarted', contiguous: true, reason: 'the WAL was restarted', next };
  }

  /** Of the generation that was begun last; it may have no commit yet. */
  header(): WalHeader | undefined {
    const length = readSync(this.#fd, this.#head, 0, WAL_HEADER_SIZE, 0);
    return parseWalHeader(this.#head.subarray(0, length));
  }

  /** Whether the frame that ends at the cursor still carries its salts and the chain's checksum. */
  isIntact(cursor: WalCursor): boolean {
    if (cursor.offset === WAL_HEADER_SIZE) return true;
    const frame = new Uint8Array(FRAME_HEADER_SIZE);
    const at = cursor.offset - FRAME_HEADER_SIZE - cursor.pageSize;
    if (readSync(this.#fd, frame, 0, FRAME_HEADER_SIZE, at) < FRAME_HEADER_SIZE) return false;
    const view = new DataView(frame.buffer);
    return (
      view.getUint32(8) === cursor.salt1 &&
      view.getUint32(12) === cursor.salt2 &&
      view.getUint32(16) === cursor.checksum1 &&
      view.getUint32(20) === cursor.checksum2
    );
  }

  #scan(header: WalHeader, from: WalCursor, limit = Number.POSITIVE_INFINITY): WalBatch {
    const frameSize = FRAME_HEADER_SIZE + from.pageSize;
    const chunk = this.#buffer(frameSize);
    const view = new DataView(chunk.buffer);
    const sum = new WalChecksum(from.bigEndian, from.checksum1, from.checksum2);
    const found = new Found(from);
    let at = from.offset;
    // Mostly little is new, and behind it lies the stale tail of an earlier generation: begin with small reads.
    let wanted = Math.min(chunk.length, FIRST_FRAMES * frameSize);
    for (let reading = true; reading && at < limit; ) {
      wanted = Math.min(wanted, limit - at);
      // A limit that is no frame's end comes from damaged headers of the log: no more frames end before it.
      if (wanted < frameSize) break;
      const length = readSync(this.#fd, chunk, 0, wanted, at);
      reading = length === wanted;
      wanted = Math.min(chunk.length, wanted * 4);
      for (let frame = 0; frame + frameSize <= length; frame += frameSize) {
        const pgno = view.getUint32(frame);
        if (pgno === 0 || view.getUint32(frame + 8) !== from.salt1 || view.getUint32(frame + 12) !== from.salt2)
          return found.batch(header, at, false);
        sum.update(view, frame, 8);
        sum.update(view, frame + FRAME_HEADER_SIZE, from.pageSize);
        if (sum.s1 !== view.getUint32(frame + 16) || sum.s2 !== view.getUint32(frame + 20))
          return found.batch(header, at, false);
        found.frame(pgno, at);
        at += frameSize;
        const commit = view.getUint32(frame + 4);
        if (commit === 0) continue;
        found.commit(commit, at, sum);
        if (at - from.offset >= this.#maxBytes) return found.batch(header, at, true);
      }
    }
    return found.batch(header, at, false);
  }

  /** Whole frames, so that each read begins at a frame. */
  #buffer(frameSize: number): Uint8Array {
    const size = Math.max(1, Math.floor(CHUNK_BYTES / frameSize)) * frameSize;
    if (this.#chunk.length !== size) this.#chunk = new Uint8Array(size);
    return this.#chunk;
  }
}

/** The cursor before the first frame of a generation. */
export function startOf(header: WalHeader): WalCursor {
  return {
    offset: WAL_HEADER_SIZE,
    salt1: header.salt1,
    salt2: header.salt2,
    checksum1: header.checksum1,
    checksum2: header.checksum2,
    pageSize: header.pageSize,
    bigEndian: header.bigEndian,
  };
}

/** What a pass has found: frames wait until their transaction commits. */
class Found {
  readonly #from: WalCursor;
  readonly #pages = new Map<number, number>();
  #end: WalCursor;
  #commit: number | undefined;
  #transactions = 0;
  /** Page number and frame offset in turn. */
  #pending: number[] = [];

  constructor(from: WalCursor) {
    this.#from = from;
    this.#end = from;
  }

  frame(pgno: number, offset: number): void {
    this.#pending.push(pgno, offset);
  }

  commit(size: number, offset: number, sum: WalChecksum): void {
    const pending = this.#pending;
    for (let i = 0; i < pending.length; i += 2) this.#pages.set(pending[i] as number, pending[i + 1] as number);
    this.#pending = [];
    this.#commit = size;
    this.#transactions++;
    this.#end = { ...this.#from, offset, checksum1: sum.s1, checksum2: sum.s2 };
  }

  batch(header: WalHeader, scanned: number, more: boolean): WalBatch {
    const commit = this.#commit;
    if (commit !== undefined) for (const pgno of this.#pages.keys()) if (pgno > commit) this.#pages.delete(pgno);
    return {
      type: 'batch',
      header,
      from: this.#from,
      end: this.#end,
      transactions: this.#transactions,
      commit,
      pages: this.#pages,
      more,
      pendingBytes: scanned - this.#end.offset,
    };
  }
}
