/**
 * Our hold on the WAL of a live primary: a read transaction that keeps any frame from being overwritten before it was
 * read, whatever checkpoints the application's connections run, and the barrier under which we checkpoint ourselves.
 * Invariant: the pin is given up only while the barrier keeps every writer out, and is taken again before it falls.
 */
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '@canopy/core';
import { changeMode } from '../process/file-mode.ts';
import { isBusy, isDiskFull } from '../process/system-errors.ts';

export interface CheckpointResult {
  /** The whole WAL is in the file, so the next writer begins the WAL anew. */
  readonly complete: boolean;
  readonly frames: number;
  /** There was no room for the file's pages: what the WAL has stays in it. */
  readonly isDiskFull: boolean;
}

/** Between two tries at the write lock. SQLite's own waits grow to 100 ms: beside a busy writer they never meet the gap. */
const TRY_MS = 0.2;
const nap = new Int32Array(new SharedArrayBuffer(4));

export class WalPin {
  readonly #clock: Clock;
  readonly #waitMs: number;
  readonly #reader: DatabaseSync;
  readonly #writer: DatabaseSync;
  #pinned = false;
  #barrier = false;
  #writerClosed = false;

  /** Opens two connections to a WAL-mode database; they must be the first in this process to lock the file. */
  constructor(path: string, options: { busyTimeoutMs: number; clock: Clock }) {
    this.#clock = options.clock;
    this.#waitMs = options.busyTimeoutMs;
    this.#reader = openQuiet(path, options.busyTimeoutMs);
    try {
      this.#writer = openQuiet(path, 0);
    } catch (error) {
      this.#reader.close();
      throw error;
    }
  }

  /** Takes the read transaction at the present end of the WAL. */
  pin(): void {
    this.#reader.exec('BEGIN');
    this.#reader.prepare('SELECT count(*) FROM sqlite_schema').get();
    this.#pinned = true;
  }

  /** Keeps writers out; false when one is writing just now and did not end within the busy timeout. */
  raiseBarrier(): boolean {
    const deadline = this.#clock.monotonic() + this.#waitMs;
    for (;;) {
      try {
        this.#writer.exec('BEGIN IMMEDIATE');
        this.#barrier = true;
        return true;
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (this.#clock.monotonic() >= deadline) return false;
      }
      Atomics.wait(nap, 0, 0, TRY_MS);
    }
  }

  /** Writers are kept out now. */
  get isBarred(): boolean {
    return this.#barrier;
  }

  dropBarrier(): void {
    if (!this.#barrier) return;
    this.#barrier = false;
    // A full disk may have ended it already.
    if (this.#writer.isTransaction) this.#writer.exec('ROLLBACK');
  }

  /**
   * Gives the barrier up for an instant and raises it again; false: a writer came in, and keeps it down. The barrier reads
   * too: with all of SQLite's read marks in use it may have had to share an old one, and while it keeps that no checkpoint
   * goes past it, however many readers end.
   */
  renewBarrier(): boolean {
    this.dropBarrier();
    return this.raiseBarrier();
  }

  /**
   * Under the barrier, after a complete checkpoint: writes page 1 as it is, which begins the WAL anew unless a reader still
   * uses it. The barrier falls for an instant before and after it; false: a writer came in, and keeps it down.
   */
  renewWal(): boolean {
    // A transaction that began while the WAL was not copied yet uses it itself.
    if (!this.renewBarrier()) return false;
    const version = Number(this.#writer.prepare('PRAGMA user_version').get()?.user_version);
    try {
      this.#writer.exec(`PRAGMA user_version=${version}; COMMIT`);
      this.#barrier = false;
    } catch (error) {
      this.dropBarrier();
      if (!isDiskFull(error)) throw error;
    }
    return this.raiseBarrier();
  }

  /** Has SQLite look at the wal-index as any reader does: it rebuilds one that a dying writer left half published. */
  mendIndex(): void {
    if (this.#barrier || this.#writerClosed) return;
    try {
      this.#writer.prepare('SELECT count(*) FROM sqlite_schema').get();
    } catch (error) {
      // The writer lives and is at it: later.
      if (!isBusy(error)) throw error;
    }
  }

  /** Under the barrier, with everything captured: copies the WAL into the file and pins its end. */
  checkpoint(): CheckpointResult {
    this.#unpin();
    try {
      const row = this.#reader.prepare('PRAGMA wal_checkpoint(PASSIVE)').get() as { log: number; checkpointed: number };
      return { complete: row.log === row.checkpointed, frames: row.log, isDiskFull: false };
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      return { complete: false, frames: 0, isDiskFull: true };
    } finally {
      this.pin();
    }
  }

  /** Bytes of a page. */
  pageSize(): number {
    return Number(this.#reader.prepare('PRAGMA page_size').get()?.page_size);
  }

  /** Pages of the database as the pin sees it. */
  pageCount(): number {
    return Number(this.#reader.prepare('PRAGMA page_count').get()?.page_count);
  }

  /**
   * Copies the whole WAL into the file, removes it and switches the file to rollback mode; false while another program
   * has the database open. The pin is gone afterwards in either case.
   */
  leaveWal(): boolean {
    this.dropBarrier();
    this.#unpin();
    if (!this.#writerClosed) this.#writer.close();
    this.#writerClosed = true;
    try {
      return changeMode(this.#reader, 'DELETE') === 'delete';
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    }
  }

  /** Leaves the database to others. When ours are the last connections, SQLite copies the WAL into the file and removes it. */
  close(): void {
    this.dropBarrier();
    if (!this.#writerClosed) this.#writer.close();
    this.#writerClosed = true;
    this.#unpin();
    this.#reader.close();
  }

  #unpin(): void {
    if (!this.#pinned) return;
    this.#pinned = false;
    this.#reader.exec('ROLLBACK');
  }
}

function openQuiet(path: string, timeout: number): DatabaseSync {
  const connection = new DatabaseSync(path, { timeout });
  connection.exec('PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-64');
  return connection;
}
