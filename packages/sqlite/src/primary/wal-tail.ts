/**
 * Where we are in the WAL of a live primary, and what comes next. Three witnesses: the index says what is committed, and
 * nothing behind that is read; the checksum chain says that what we have read is what was committed; the pin says that
 * between two of our checkpoints no frame can be overwritten, and that after a complete one exactly one restart is to be
 * expected. Every answer, also "nothing", is proved by them; what they can't prove is `lost`: then only a full image
 * continues the log.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { sqliteErrors } from '../errors.ts';
import { FRAME_HEADER_SIZE, WAL_HEADER_SIZE } from '../wal/header.ts';
import { startOf, type WalBatch, type WalCursor, WalReader } from '../wal/reader.ts';
import { endOf, sameChecksum, sameGeneration, sameIndex, type WalIndex } from '../wal/wal-index.ts';

/** A pass ends at the first commit past this many bytes: what bounds the memory of one log entry (a larger commit is whole). */
const PASS_BYTES = 8 * 1024 * 1024;
/** The WAL may begin anew between a look at its index and one at its frames: then it is looked at again. */
const TRIES = 3;

export type WalStep =
  | { readonly type: 'nothing' }
  | { readonly type: 'frames'; readonly batch: WalBatch }
  /** A writer is in the middle of publishing a commit: what is committed can't be told just now. */
  | { readonly type: 'unsettled' }
  | { readonly type: 'lost'; readonly reason: string };

const NOTHING: WalStep = { type: 'nothing' };
const lost = (reason: string): WalStep => ({ type: 'lost', reason });

export interface WalTailStart {
  /** Undefined: at the start of the present generation. */
  readonly cursor: WalCursor | undefined;
  /** Nothing unread is in the WAL, so its next writer may restart it. */
  readonly restartable: boolean;
  readonly index: { read(): WalIndex | undefined };
}

export class WalTail {
  readonly #path: string;
  readonly #fd: number;
  readonly #reader: WalReader;
  readonly #index: WalTailStart['index'];
  #cursor: WalCursor | undefined;
  #restartable: boolean;
  /** The index under which there was nothing behind the cursor. */
  #proved: WalIndex | undefined;

  /** Opens the -wal file of a database that is pinned (SQLite has made the file by then). */
  constructor(path: string, start: WalTailStart) {
    this.#path = path;
    this.#fd = openSync(`${path}-wal`, 'r');
    this.#reader = new WalReader(this.#fd, { maxBytes: PASS_BYTES });
    this.#cursor = start.cursor;
    this.#restartable = start.restartable;
    this.#index = start.index;
  }

  get cursor(): WalCursor | undefined {
    return this.#cursor;
  }

  /** Size of the file, whose tail may be an old generation's. */
  get sizeBytes(): number {
    return fstatSync(this.#fd).size;
  }

  /** Bytes of the present generation. Whether its next writer may begin a new one shows only when one does. */
  get usedBytes(): number {
    const index = this.#index.read();
    return index === undefined || index.frames === 0 ? 0 : (endOf(index)?.offset ?? 0);
  }

  /** The WAL file has been removed or replaced behind our back. */
  get isGone(): boolean {
    return statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.ino !== fstatSync(this.#fd).ino;
  }

  /** Undefined while it can't be told. In a WAL that has no frame yet: the cursor, where all of the one before was read. */
  get committedEnd(): WalCursor | undefined {
    const index = this.#index.read();
    if (index?.frames === 0) return this.#restartable ? this.#cursor : undefined;
    return index && endOf(index);
  }

  /** As `next` would say "nothing", without reading what there is: false also while it can't be told. */
  get isReadToEnd(): boolean {
    const index = this.#index.read();
    if (index === undefined) return false;
    const [cursor, end] = [this.#cursor, endOf(index)];
    const isThere = cursor !== undefined && end?.offset === cursor.offset && sameGeneration(cursor, end);
    return (end === undefined || isThere) && this.#against(index).type === 'nothing';
  }

  /** What has been committed since the cursor; does not move it. */
  next(): WalStep {
    this.#proved = undefined;
    for (let attempt = 1; ; attempt++) {
      const index = this.#index.read();
      if (index === undefined) return { type: 'unsettled' };
      const step = this.#against(index);
      if (step.type === 'nothing') this.#proved = index;
      if (step.type !== 'lost' || attempt === TRIES) return step;
      const now = this.#index.read();
      if (now !== undefined && sameGeneration(now, index)) return step;
    }
  }

  /** Whether still nothing was committed since `next` said so. The only proof there is once the pin is given up. */
  get isUnchanged(): boolean {
    const now = this.#index.read();
    return this.#proved !== undefined && now !== undefined && sameIndex(this.#proved, now);
  }

  advance(end: WalCursor): void {
    this.#cursor = end;
    this.#restartable = false;
  }

  /** After a checkpoint under the barrier: whether the next writer may restart the WAL. */
  sealed(complete: boolean): void {
    this.#restartable = complete;
  }

  /** With writers kept out: moves the cursor behind everything that is committed, whatever was read before. */
  skipToEnd(): void {
    this.#cursor = endOf(this.#committed());
  }

  /** As `skipToEnd`; gives every committed frame of the present generation. Throws SQLITE_CORRUPT. */
  scanAll(): Map<number, number> {
    const pages = new Map<number, number>();
    const index = this.#committed();
    const end = endOf(index);
    this.#cursor = undefined;
    while (end !== undefined && this.#cursor?.offset !== end.offset) {
      const step = this.#against(index);
      if (step.type !== 'frames') {
        const problem = step.type === 'lost' ? step.reason : 'the WAL ends before its index does';
        throw sqliteErrors.create('SQLITE_CORRUPT', { path: this.#path, problem });
      }
      for (const [pgno, frame] of step.batch.pages) pages.set(pgno, frame);
      this.#cursor = step.batch.end;
    }
    return pages;
  }

  /** The page in a frame; `into` is one page long. */
  page(frame: number, into: Uint8Array): Uint8Array {
    return this.#reader.page(frame, into);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #committed(): WalIndex {
    const index = this.#index.read();
    if (index !== undefined) return index;
    throw sqliteErrors.create('SQLITE_CORRUPT', { path: this.#path, problem: 'its -shm file can not be read' });
  }

  /** What lies between the cursor and the end that the index gives. */
  #against(index: WalIndex): WalStep {
    const cursor = this.#cursor;
    if (cursor === undefined) return this.#fromStart(index);
    if (!sameGeneration(cursor, index)) {
      if (!this.#restartable && !this.#isReadToEnd(cursor)) return lost('the WAL was restarted before it was read');
      // Nothing is committed in the new generation yet, and its header may not be there.
      return index.frames === 0 ? NOTHING : this.#fromStart(index);
    }
    const read = (cursor.offset - WAL_HEADER_SIZE) / (FRAME_HEADER_SIZE + cursor.pageSize);
    if (index.frames < read) return lost('the WAL ends before what was read');
    if (!this.#reader.isIntact(cursor)) return lost('the WAL was overwritten');
    if (index.frames > read) return this.#upTo(cursor, index);
    return read === 0 || sameChecksum(cursor, index) ? NOTHING : lost('the WAL was overwritten');
  }

  #fromStart(index: WalIndex): WalStep {
    if (index.frames === 0) return NOTHING;
    const header = this.#reader.header();
    if (header === undefined || !sameGeneration(header, index)) return lost('the WAL is not the one of its index');
    return this.#upTo(startOf(header), index);
  }

  #upTo(from: WalCursor, index: WalIndex): WalStep {
    const end = endOf(index);
    if (end === undefined || end.pageSize !== from.pageSize) return lost('the WAL has pages of another size');
    const batch = this.#reader.scan(from, end.offset);
    const proved = batch?.end.offset === end.offset ? sameChecksum(batch.end, end) : batch?.more;
    return batch !== undefined && proved ? { type: 'frames', batch } : lost('the WAL was overwritten');
  }

  /** Whether the cursor's generation, which another one follows, certainly had nothing behind the cursor. */
  #isReadToEnd(cursor: WalCursor): boolean {
    const scan = this.#reader.read(cursor);
    // Frames of an old generation that nobody has read may have been committed or not: nobody can tell any more.
    return scan.type === 'restarted' ? scan.contiguous : scan.type === 'batch' && scan.transactions === 0;
  }
}
