/**
 * A database file that follows the log while any SQLite program reads it. Every apply is one SQLite transaction made by
 * hand: exclusive lock through SQLite, hot journal, positional writes, removal of the journal. Readers see the file
 * before or after it, and after a crash at any point SQLite itself restores the file to `from`.
 * Invariant: one raw descriptor per file, opened before the first SQLite lock and closed after the last, because closing
 * any descriptor of the file in this process would drop SQLite's locks.
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Env, hasCode, type Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { lockPage } from '../ltx/header.ts';
import { flushDirectory, type StandbyState, writeState } from '../process/state-file.ts';
import { isBusy, wrapFileError } from '../process/system-errors.ts';
import { encodeJournalHeader, encodeJournalRecord, JOURNAL_TAIL, journalRecordSize } from './hot-journal.ts';
import { type FileHeader, HEADER_SIZE, readFileHeader, stampReplica } from './page-one.ts';

/** Bytes of journal gathered before a write. */
const JOURNAL_BUFFER = 1024 * 1024;

export interface PageBatch {
  readonly to: Position;
  readonly pageSize: number;
  /** Size of the database in pages afterwards. */
  readonly commit: number;
  /** Whole pages; the newest version of each. */
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

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
   * Brings the file to `batch.to`, whole or not at all. Throws SQLITE_DATABASE_BUSY when readers don't let go within the
   * bound, SQLITE_REPLICA_MODIFIED when somebody else wrote to the file, SQLITE_FILE_REPLACED, SQLITE_DISK_FULL: in each
   * case the file stays what it was.
   */
  async apply(batch: PageBatch, signal?: AbortSignal): Promise<void> {
    await this.#lock(signal);
    let journalled = false;
    try {
      this.#checkUntouched();
      const next = (this.#counter + 1) >>> 0;
      const pages = this.#prepare(batch, next);
      this.#writeJournal(pages, batch.commit);
      journalled = true;
      this.#writeState({ from: this.#position, to: batch.to, before: this.#counter, after: next });
      this.#writePages(pages, batch.commit);
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
    const at = this.#position;
    writeState(
      this.#options.statePath,
      this.#state({ from: at, to: at, before: this.#counter, after: this.#counter }, true),
      {
        flush: true,
      },
    );
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

  /** Under the exclusive lock: whoever wrote through SQLite has changed the counter, or the journal mode. */
  #checkUntouched(): void {
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

  /** The pages to write in order of their numbers, page 1 always among them. */
  #prepare(batch: PageBatch, counter: number): [number, Uint8Array][] {
    if (batch.pageSize !== this.#pageSize)
      throw sqliteErrors.create('SQLITE_PAGE_SIZE_MISMATCH', {
        object: 'the log',
        actual: batch.pageSize,
        expected: this.#pageSize,
      });
    const skipped = lockPage(this.#pageSize);
    const pages: [number, Uint8Array][] = [];
    for (const [pgno, page] of batch.pages)
      if (pgno > 1 && pgno <= batch.commit && pgno !== skipped) pages.push([pgno, page]);
    const first = batch.pages.get(1)?.slice() ?? this.readPage(1);
    stampReplica(first, counter, batch.commit);
    pages.push([1, first]);
    return pages.sort(([a], [b]) => a - b);
  }

  #writeJournal(pages: readonly (readonly [number, Uint8Array])[], commit: number): void {
    const skipped = lockPage(this.#pageSize);
    const old: number[] = [];
    for (const [pgno] of pages) if (pgno <= this.#pages) old.push(pgno);
    for (let pgno = commit + 1; pgno <= this.#pages; pgno++) if (pgno !== skipped) old.push(pgno);
    const nonce = this.#options.env.random.int(2 ** 32);
    const path = journalPath(this.#options.path);
    const fd = openSync(path, 'w', 0o600);
    try {
      // Whoever may write the database may have to roll it back.
      fchmodSync(fd, fstatSync(this.#fd).mode & 0o777);
      const pageSize = this.#pageSize;
      writeAll(fd, encodeJournalHeader({ records: old.length, nonce, oldPages: this.#pages, pageSize }));
      const size = journalRecordSize(pageSize);
      const perBuffer = Math.max(1, Math.floor(JOURNAL_BUFFER / size));
      const buffer = new Uint8Array(Math.min(perBuffer, Math.max(1, old.length)) * size);
      for (let at = 0; at < old.length; at += perBuffer) {
        const part = old.slice(at, at + perBuffer);
        part.forEach((pgno, i) => {
          encodeJournalRecord(buffer, i * size, pgno, this.readPage(pgno), nonce);
        });
        writeAll(fd, buffer.subarray(0, part.length * size));
      }
      writeAll(fd, JOURNAL_TAIL);
      if (this.#options.flush) fsyncSync(fd);
    } catch (error) {
      // Not yet needed by anybody: the database is untouched.
      closeSync(fd);
      unlinkSync(path);
      throw error;
    }
    closeSync(fd);
    if (this.#options.flush) flushDirectory(dirname(path));
  }

  #writePages(pages: readonly (readonly [number, Uint8Array])[], commit: number): void {
    const pageSize = this.#pageSize;
    for (const [pgno, page] of pages) writeAll(this.#fd, page, (pgno - 1) * pageSize);
    ftruncateSync(this.#fd, commit * pageSize);
    if (this.#options.flush) fsyncSync(this.#fd);
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

  #writeState(at: { from: Position; to: Position; before: number; after: number }): void {
    const durable = this.#options.flush;
    // What is on the disk may vouch for the file; it must not, from before the first write that is not flushed.
    writeState(this.#options.statePath, this.#state(at, durable), { flush: durable || this.#believed });
    this.#believed = durable;
  }

  #state(at: { from: Position; to: Position; before: number; after: number }, durable: boolean): StandbyState {
    return {
      role: 'standby',
      from: at.from,
      to: at.to,
      counterBefore: at.before,
      counterAfter: at.after,
      durable,
      boot: this.#options.boot,
    };
  }
}

/** The machine went down since (or that is unknown), and what it left of the file is anybody's guess. */
export function isUnflushed(state: StandbyState, boot: string): boolean {
  return !state.durable && (state.boot === '' || state.boot !== boot);
}

/** Where the state says that a file with this counter is; undefined when it doesn't know such a file. */
export function locateReplica(state: StandbyState, header: FileHeader, boot: string): Position | undefined {
  if (header.mode !== 'rollback') return undefined;
  if (isUnflushed(state, boot)) return undefined;
  if (header.counter === state.counterAfter) return state.to;
  if (header.counter === state.counterBefore) return state.from;
  return undefined;
}

function journalPath(path: string): string {
  return `${path}-journal`;
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

function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  let done = 0;
  while (done < bytes.byteLength)
    done += writeSync(fd, bytes, done, bytes.byteLength - done, position === undefined ? null : position + done);
}
