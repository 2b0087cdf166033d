/**
 * Where we are in the WAL of a live primary, and what comes next. The reader proves from the file alone what it can; the
 * pin proves more: between two of our checkpoints no frame can be overwritten, and after a complete one exactly one
 * restart is to be expected. What neither can prove is `lost`: then only a full image continues the log.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { type WalBatch, type WalCursor, WalReader } from '../wal/reader.ts';

/** A pass ends at the first commit past this many bytes: what bounds the memory of one log entry (a larger commit is whole). */
const PASS_BYTES = 8 * 1024 * 1024;

export type WalStep =
  | { readonly type: 'nothing' }
  | { readonly type: 'frames'; readonly batch: WalBatch }
  | { readonly type: 'lost'; readonly reason: string };

export class WalTail {
  readonly #fd: number;
  readonly #reader: WalReader;
  #cursor: WalCursor | undefined;
  #restartable: boolean;

  /**
   * Opens the -wal file of a database that is pinned (SQLite has made the file by then). Without a cursor reading begins
   * at the start of the present generation. `restartable`: nothing unread is in the WAL, so its next writer may restart it.
   */
  constructor(path: string, start: { cursor: WalCursor | undefined; restartable: boolean }) {
    this.#fd = openSync(`${path}-wal`, 'r');
    this.#reader = new WalReader(this.#fd, { maxBytes: PASS_BYTES });
    this.#cursor = start.cursor;
    this.#restartable = start.restartable;
  }

  get cursor(): WalCursor | undefined {
    return this.#cursor;
  }

  /** Size of the file, whose tail may be an old generation's. */
  get sizeBytes(): number {
    return fstatSync(this.#fd).size;
  }

  /** The WAL file has been removed or replaced behind our back. */
  get isGone(): boolean {
    return fstatSync(this.#fd).nlink === 0;
  }

  /** What has been committed since the cursor; does not move it. */
  next(): WalStep {
    const scan = this.#reader.read(this.#cursor);
    if (scan.type === 'empty') return { type: 'nothing' };
    if (scan.type === 'batch') return scan.transactions === 0 ? { type: 'nothing' } : { type: 'frames', batch: scan };
    if (scan.type === 'restarted') {
      if (!this.#restartable && !scan.contiguous) return { type: 'lost', reason: scan.reason };
      this.#cursor = scan.next;
      this.#restartable = false;
      return this.next();
    }
    if (scan.type === 'truncated' && this.#restartable) {
      this.#cursor = undefined;
      return { type: 'nothing' };
    }
    return { type: 'lost', reason: scan.type === 'truncated' ? 'the WAL was truncated' : 'the WAL was overwritten' };
  }

  advance(end: WalCursor): void {
    this.#cursor = end;
    this.#restartable = false;
  }

  /** After a checkpoint under the barrier: whether the next writer may restart the WAL. */
  sealed(complete: boolean): void {
    this.#restartable = complete;
  }

  /** Every committed frame of the present generation; moves the cursor behind them. */
  scanAll(): Map<number, number> {
    const pages = new Map<number, number>();
    this.#cursor = undefined;
    for (let scan = this.#reader.read(); scan.type === 'batch'; scan = this.#reader.read(scan.end)) {
      for (const [pgno, frame] of scan.pages) pages.set(pgno, frame);
      this.#cursor = scan.end;
      if (!scan.more) break;
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
}
