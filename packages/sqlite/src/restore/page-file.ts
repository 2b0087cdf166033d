/**
 * A database file being put together from pages: sequential runs are gathered into large writes, jumps go where they
 * belong. Disk-full is recognised here. One writer; nothing else may have the file open.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { sqliteErrors } from '../errors.ts';
import type { LtxHeader, LtxPage } from '../ltx/header.ts';
import { lockPage } from '../ltx/header.ts';

const BUFFER_BYTES = 1024 * 1024;

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
    return new PageFile(path, await onDisk(path, open(path, 'w+', 0o600)), pageSize);
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

  async write(page: LtxPage): Promise<void> {
    const offset = (page.pgno - 1) * this.pageSize;
    if (page.pgno > this.#before) this.#grown++;
    if (offset !== this.#start + this.#used || this.#used + this.pageSize > this.#buffer.length)
      await this.#flush(offset);
    this.#buffer.set(page.data, this.#used);
    this.#used += this.pageSize;
  }

  /** Ends one LTX file: a database that grows must have been given every new page, or zeros would pass for data. */
  async end(object: string): Promise<void> {
    await this.#flush(0);
    const lock = lockPage(this.pageSize);
    const locked = lock > this.#before && lock <= this.commit ? 1 : 0;
    const expected = Math.max(0, this.commit - this.#before - locked);
    if (this.#grown !== expected)
      throw sqliteErrors.create('SQLITE_LTX_INVALID', {
        object,
        problem: `it lets the database grow to ${this.commit} pages, but has ${this.#grown} of the ${expected} new ones`,
      });
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

/** Turns "no space" into SQLITE_DISK_FULL. */
export async function onDisk<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ENOSPC' || code === 'EDQUOT') throw sqliteErrors.create('SQLITE_DISK_FULL', { path }, error);
    throw error;
  }
}
