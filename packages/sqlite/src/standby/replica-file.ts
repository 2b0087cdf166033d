/**
 * A database file that follows the log while any SQLite program reads it. Every apply is one SQLite transaction made by
 * hand: exclusive lock through SQLite, hot journal, positional writes, removal of the journal. Readers see the file
 * before or after it, and after a crash at any point SQLite itself restores the file to `from`.
 * Invariant: one raw descriptor per file, opened before the first SQLite lock and closed after the last, because closing
 * any descriptor of the file in this process would drop SQLite's locks.
 */
import {
  closeSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Env, hasCode, type Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { lockPage } from '../ltx/header.ts';
import { flushDirectory, type KnownLog } from '../process/state-file.ts';
import { isBusy, wrapFileError } from '../process/system-errors.ts';
import { requireRoom } from './disk-room.ts';
import { journalRecordSize } from './hot-journal.ts';
import { journalPath, writeJournal } from './journal-file.ts';
import type { PageBatch } from './page-changes.ts';
import { type FileHeader, HEADER_SIZE, readFileHeader, stampReplica } from './page-one.ts';
import { type ReplicaMove, stayingAt, writeReplicaState } from './replica-state.ts';
import { writeAll } from './write-all.ts';

/** Bytes written after which others in this process get a turn. Smaller batches are applied without one. */
const TURN_BYTES = 8 * 1024 * 1024;

export interface ReplicaFileOptions {
  readonly path: string;
  readonly statePath: string;
  readonly boot: string;
  readonly env: Env;
  /** How long one attempt waits for readers. While it waits, SQLite lets no new reader in. */
  readonly busyTimeoutMs: number;
  /** Bound on all attempts of one apply: SQLITE_DATABASE_BUSY past it. */
  readonly lockTimeoutMs: number;
  /** Flush to the disk at each apply. Without it a state survives the process's death, not the machine's. */
  readonly flush: boolean;
  /** Which log the file follows, for the state. */
  log?(): KnownLog | undefined;
}

export class ReplicaFile {
  readonly #options: ReplicaFileOptions;
  readonly #fd: number;
  readonly #connection: DatabaseSync;
  readonly #inode: number;
  #position: Position;
  #counter: number;
  #pageSize: number;
  #pages: number;
  #needsRecovery = false;
  /** A state that is trusted after the machine's death may be on the disk. */
  #believed = true;
  #closed = false;
  #sinceTurn = 0;

  /** Opens a rollback-mode file that is known to be at `position`; SQLite rolls back what a crash left behind. */
  constructor(options: ReplicaFileOptions, locate: (header: FileHeader) => Position) {
    this.#options = options;
    this.#fd = openSync(options.path, 'r+');
    try {
      this.#connection = openConnection(options);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
    try {
      recover(this.#connection);
      const header = this.#header();
      this.#inode = fstatSync(this.#fd).ino;
      this.#counter = header.counter;
      this.#pageSize = header.pageSize;
      this.#pages = Math.floor(fstatSync(this.#fd).size / header.pageSize);
      this.#position = locate(header);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get position(): Position {
    return this.#position;
  }

  get pageSize(): number {
    return this.#pageSize;
  }

  get sizeBytes(): number {
    return this.#pages * this.#pageSize;
  }

  get counter(): number {
    return this.#counter;
  }

  /** Our own connection, for checks of content. Nothing may be written through it. */
  get connection(): DatabaseSync {
    return this.#connection;
  }

  /** One page as it is in the file. */
  readPage(pgno: number): Uint8Array {
    const page = new Uint8Array(this.#pageSize);
    readSync(this.#fd, page, 0, page.byteLength, (pgno - 1) * this.#pageSize);
    return page;
  }

  /**
   * Brings the file to `batch.to`, whole or not at all; until it has resolved `position`, `sizeBytes` and page 1 are those
   * of before. Throws SQLITE_DATABASE_BUSY when readers don't let go within the bound, SQLITE_REPLICA_MODIFIED when
   * somebody else wrote to the file, SQLITE_FILE_REPLACED, SQLITE_DISK_FULL: in each case the file stays what it was.
   * Memory: about 2 MiB beside the batch.
   */
  async apply(batch: PageBatch, signal?: AbortSignal): Promise<void> {
    await this.#lock(signal);
    this.#sinceTurn = 0;
    let journalled = false;
    try {
      this.checkUntouched();
      this.#checkPageSize(batch);
      const next = (this.#counter + 1) >>> 0;
      await this.#writeJournal(batch);
      journalled = true;
      this.#noteMove({ from: this.#position, to: batch.to, before: this.#counter, after: next });
      await this.#writePages(batch);
      // Page 1 comes last: from here to the commit nobody else in this process runs.
      const first = batch.changes.first() ?? this.readPage(1);
      stampReplica(first, next, batch.commit);
      writeAll(this.#fd, first, 0);
      ftruncateSync(this.#fd, batch.commit * this.#pageSize);
      if (this.#options.flush) fsyncSync(this.#fd);
      this.#dropJournal();
      journalled = false;
      this.#counter = next;
      this.#position = batch.to;
      this.#pages = batch.commit;
    } catch (error) {
      this.#needsRecovery = journalled;
      throw wrapFileError(error, this.#options.path);
    } finally {
      this.#connection.exec('ROLLBACK');
      if (this.#needsRecovery) this.#recover();
    }
  }

  /** What is on the disk may vouch for the file; it must not, from before the first write that is not flushed. */
  #noteMove(move: ReplicaMove): void {
    const { statePath, boot, flush: durable } = this.#options;
    const log = this.#options.log?.();
    writeReplicaState(statePath, move, { boot, durable, flush: durable || this.#believed, log });
    this.#believed = durable;
  }

  /** Hands what was written to the disk in the background. The file must not be closed before this resolves. */
  flushData(): Promise<void> {
    return new Promise((resolve, reject) => {
      fsync(this.#fd, (error) => (error === null ? resolve() : reject(wrapFileError(error, this.#options.path))));
    });
  }

  /** Flushes everything, so that the file may be trusted after the machine's death too. */
  flush(): void {
    fsyncSync(this.#fd);
    // A journal whose removal did not reach the disk would be rolled back into the file that the state vouches for.
    flushDirectory(dirname(this.#options.path));
    this.#believed = true;
    const { statePath, boot } = this.#options;
    const log = this.#options.log?.();
    writeReplicaState(statePath, stayingAt(this.#position, this.#counter), { boot, durable: true, flush: true, log });
  }

  /** Closes SQLite's side first: only then is no lock left that closing the descriptor could drop. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
    closeSync(this.#fd);
  }

  async #lock(signal: AbortSignal | undefined): Promise<void> {
    const { clock, random } = this.#options.env;
    const deadline = clock.monotonic() + this.#options.lockTimeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#needsRecovery) this.#recover();
      this.#checkInode();
      try {
        this.#connection.exec('BEGIN EXCLUSIVE');
        return;
      } catch (error) {
        if (!isBusy(error)) throw wrapFileError(error, this.#options.path);
        if (clock.monotonic() >= deadline)
          throw sqliteErrors.create('SQLITE_DATABASE_BUSY', {
            path: this.#options.path,
            timeoutMs: this.#options.lockTimeoutMs,
          });
        await clock.sleep(5 + random.next() * 20, { signal });
      }
    }
  }

  #checkInode(): void {
    const path = this.#options.path;
    const now = statSync(path, { throwIfNoEntry: false });
    if (now?.ino === this.#inode) return;
    throw sqliteErrors.create('SQLITE_FILE_REPLACED', { path, how: now === undefined ? 'deleted' : 'replaced' });
  }

  /**
   * Throws SQLITE_REPLICA_MODIFIED when somebody has written to the file: whoever does so through SQLite changes the counter,
   * or the journal mode. Only under the exclusive lock does the answer hold for longer than the call.
   */
  checkUntouched(): void {
    const header = this.#header();
    if (header.mode === 'rollback' && header.counter === this.#counter) return;
    throw sqliteErrors.create('SQLITE_REPLICA_MODIFIED', { path: this.#options.path });
  }

  #header(): FileHeader {
    const bytes = new Uint8Array(HEADER_SIZE);
    readSync(this.#fd, bytes, 0, HEADER_SIZE, 0);
    const header = readFileHeader(bytes);
    if (header === undefined) throw sqliteErrors.create('SQLITE_NOT_A_DATABASE', { path: this.#options.path });
    return header;
  }

  #checkPageSize(batch: PageBatch): void {
    if (batch.pageSize === this.#pageSize) return;
    throw sqliteErrors.create('SQLITE_PAGE_SIZE_MISMATCH', {
      object: 'the log',
      actual: batch.pageSize,
      expected: this.#pageSize,
    });
  }

  /** Old images of what will be written or cut off. The disk must have room for them and for what the file grows by. */
  async #writeJournal(batch: PageBatch): Promise<void> {
    const { path, env, flush } = this.#options;
    const pageSize = this.#pageSize;
    let records = 0;
    for (const _ of this.#changed(batch)) records++;
    const grownBytes = Math.max(0, batch.commit - this.#pages) * pageSize;
    requireRoom(path, records * journalRecordSize(pageSize) + grownBytes);
    const order = {
      path,
      mode: fstatSync(this.#fd).mode & 0o777,
      pageSize,
      oldPages: this.#pages,
      nonce: env.random.int(2 ** 32),
      flush,
      numbers: () => this.#changed(batch),
      read: (pgno: number, into: Uint8Array) => {
        readSync(this.#fd, into, 0, pageSize, (pgno - 1) * pageSize);
      },
      breathe: (bytes: number) => this.#breathe(bytes),
    };
    await writeJournal(order, records);
  }

  /** Pages of the present file that will be others, page 1 always among them, and those that will not be there. */
  *#changed(batch: PageBatch): Generator<number> {
    const skipped = lockPage(this.#pageSize);
    const kept = Math.min(this.#pages, batch.commit);
    yield 1;
    for (const pgno of batch.changes.numbers()) if (pgno > 1 && pgno <= kept && pgno !== skipped) yield pgno;
    for (let pgno = batch.commit + 1; pgno <= this.#pages; pgno++) if (pgno !== skipped) yield pgno;
  }

  /** All but page 1. */
  async #writePages(batch: PageBatch): Promise<void> {
    const pageSize = this.#pageSize;
    const skipped = lockPage(pageSize);
    for (const { pgno, data } of batch.changes.pages()) {
      if (pgno === 1 || pgno > batch.commit || pgno === skipped) continue;
      writeAll(this.#fd, data, (pgno - 1) * pageSize);
      const pause = this.#breathe(pageSize);
      if (pause !== undefined) await pause;
    }
  }

  /** Without it a huge apply would keep this process from everything else, its connection to NATS included. */
  #breathe(bytes: number): Promise<void> | undefined {
    this.#sinceTurn += bytes;
    if (this.#sinceTurn < TURN_BYTES) return undefined;
    this.#sinceTurn = 0;
    return this.#options.env.clock.sleep(0);
  }

  #dropJournal(): void {
    const path = journalPath(this.#options.path);
    unlinkSync(path);
    if (this.#options.flush) flushDirectory(dirname(path));
  }

  #recover(): void {
    try {
      recover(this.#connection);
      this.#needsRecovery = false;
    } catch (error) {
      if (!isBusy(error) && !hasCode(error)) throw wrapFileError(error, this.#options.path);
    }
  }
}

function openConnection(options: ReplicaFileOptions): DatabaseSync {
  const connection = new DatabaseSync(options.path, { timeout: options.busyTimeoutMs });
  // Almost nothing is read through it; pages go past SQLite.
  connection.exec('PRAGMA cache_size=-64');
  return connection;
}

/** Any read makes SQLite roll back a journal that a crash left. */
function recover(connection: DatabaseSync): void {
  connection.prepare('SELECT count(*) FROM sqlite_schema').get();
}
