/**
 * A database file being put together from pages: sequential runs are gathered into large writes, jumps go where they
 * belong; of many small files the newest images are collected first. What was given later wins, however it was given.
 * Disk-full is recognised here. One writer; nothing else may have the file open.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { sqliteErrors } from '../errors.ts';
import type { LtxHeader, LtxPage } from '../ltx/header.ts';
import { lockPage } from '../ltx/header.ts';
import { wrapFileError } from '../process/system-errors.ts';

const BUFFER_BYTES = 1024 * 1024;
/** Pages taken in by `gather` before they are written, replaced ones included: they hold on to what they were inflated in. */
const GATHER_BYTES = 8 * 1024 * 1024;

export class PageFile {
  readonly path: string;
  readonly pageSize: number;
  /** Size in pages after the files applied so far. */
  commit = 0;
  readonly #handle: FileHandle;
  readonly #buffer: Uint8Array;
  /** File offset of the buffer's first byte, and how much is in it. */
  #start = 0;
  #used = 0;
  #gathered = new Map<number, Uint8Array>();
  #gatheredBytes = 0;
  #grown = 0;
  #before = 0;

  private constructor(path: string, handle: FileHandle, pageSize: number) {
    this.path = path;
    this.pageSize = pageSize;
    this.#handle = handle;
    this.#buffer = new Uint8Array(Math.max(BUFFER_BYTES, pageSize));
  }

  /** Makes the file, or empties it. */
  static async create(path: string, pageSize: number): Promise<PageFile> {
    const handle = await onDisk(path, open(path, 'w+', 0o600)).catch((error: NodeJS.ErrnoException) => {
      // The directory was there: its file system makes no such file (procfs), or it has just gone.
      if (error.code !== 'ENOENT') throw error;
      throw sqliteErrors.create('SQLITE_UNWRITABLE', { path, reason: error.message }, error);
    });
    return new PageFile(path, handle, pageSize);
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** Begins to apply one LTX file. */
  begin(header: LtxHeader, object: string): void {
    if (header.pageSize !== this.pageSize)
      throw sqliteErrors.create('SQLITE_PAGE_SIZE_MISMATCH', {
        object,
        actual: header.pageSize,
        expected: this.pageSize,
      });
    this.#before = header.minTxid === 1 ? 0 : this.commit;
    this.#grown = 0;
    this.commit = header.commit;
  }

  /** Pages whose data are valid until the call settles. */
  async write(page: LtxPage): Promise<void> {
    if (this.#gathered.size > 0) await this.#writeGathered();
    if (page.pgno > this.#before) this.#grown++;
    await this.#place(page.pgno, page.data);
  }

  /** Pages whose data stay valid: they are written later, once there are many. */
  async gather(pages: Iterable<LtxPage>): Promise<void> {
    for (const { pgno, data } of pages) {
      if (pgno > this.#before) this.#grown++;
      this.#gathered.set(pgno, data);
      this.#gatheredBytes += data.length;
      if (this.#gatheredBytes < GATHER_BYTES) continue;
      await this.#writeGathered();
      // Left to itself, what fetching and inflating leave behind is collected at 64 MB; our own processes allow it sooner.
      globalThis.gc?.();
    }
  }

  async #writeGathered(): Promise<void> {
    const pages = [...this.#gathered].sort((a, b) => a[0] - b[0]);
    this.#gathered = new Map();
    this.#gatheredBytes = 0;
    for (const [pgno, data] of pages) await this.#place(pgno, data);
  }

  async #place(pgno: number, data: Uint8Array): Promise<void> {
    const offset = (pgno - 1) * this.pageSize;
    if (offset !== this.#start + this.#used || this.#used + this.pageSize > this.#buffer.length)
      await this.#flush(offset);
    this.#buffer.set(data, this.#used);
    this.#used += this.pageSize;
  }

  /** Ends one LTX file: a database that grows must have been given every new page, or zeros would pass for data. */
  end(object: string): void {
    const lock = lockPage(this.pageSize);
    const locked = lock > this.#before && lock <= this.commit ? 1 : 0;
    const expected = Math.max(0, this.commit - this.#before - locked);
    if (this.#grown !== expected)
      throw sqliteErrors.create('SQLITE_LTX_INVALID', {
        object,
        problem: `it lets the database grow to ${this.commit} pages, but has ${this.#grown} of the ${expected} new ones`,
      });
  }

  /** After the last file: everything is in its place, and the size is right. A page that a shrinking took away and a growth
   * brought back was brought with its contents. */
  async complete(): Promise<void> {
    await this.#writeGathered();
    await this.#flush(0);
    await onDisk(this.path, this.#handle.truncate(this.commit * this.pageSize));
  }

  async sync(): Promise<void> {
    await onDisk(this.path, this.#handle.sync());
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #flush(next: number): Promise<void> {
    for (let at = 0; at < this.#used; ) {
      const write = this.#handle.write(this.#buffer, at, this.#used - at, this.#start + at);
      at += (await onDisk(this.path, write)).bytesWritten;
    }
    this.#start = next;
    this.#used = 0;
  }
}

/** What the operating system refuses, as one of our codes where somebody can do something about it. */
export async function onDisk<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw wrapFileError(error, path);
  }
}
