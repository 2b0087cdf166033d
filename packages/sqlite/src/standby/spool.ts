/**
 * The pages of an entry that is too large for memory, inflated into a file of its own until they are applied. Invariants:
 * nothing can be read from it before the whole entry was verified; it has no name from the moment it exists, so that a
 * death at any point leaves nothing behind.
 */
import { closeSync, openSync, readSync, unlinkSync, writevSync } from 'node:fs';
import { join } from 'node:path';
import type { LtxStream } from '../ltx/decoder.ts';
import type { LtxPage } from '../ltx/header.ts';
import { wrapFileError } from '../process/system-errors.ts';
import type { PageChanges } from './page-changes.ts';

const READ_BYTES = 1024 * 1024;

export class Spool implements PageChanges {
  readonly #path: string;
  readonly #fd: number;
  readonly #pageSize: number;
  /** The number of each page, in the file's order: 4 bytes a page. */
  #numbers = new Uint32Array(1024);
  #count = 0;

  private constructor(path: string, pageSize: number) {
    this.#path = path;
    this.#pageSize = pageSize;
    try {
      this.#fd = openSync(path, 'w+', 0o600);
      unlinkSync(path);
    } catch (error) {
      throw wrapFileError(error, path);
    }
  }

  /**
   * Reads the stream to its end into a file in `directory`. Throws what the stream throws and SQLITE_DISK_FULL; nothing is
   * left then. `onBatch` is called with the pages of each batch before they are written.
   */
  static async fill(
    directory: string,
    stream: LtxStream,
    options: { signal?: AbortSignal | undefined; onBatch?: (pages: readonly LtxPage[]) => void } = {},
  ): Promise<Spool> {
    const spool = new Spool(join(directory, 'apply.spool'), stream.header.pageSize);
    try {
      for await (const batch of stream.batches()) {
        options.signal?.throwIfAborted();
        options.onBatch?.(batch);
        spool.#write(batch);
      }
      return spool;
    } catch (error) {
      spool.close();
      throw error;
    }
  }

  get count(): number {
    return this.#count;
  }

  numbers(): Iterable<number> {
    return this.#numbers.subarray(0, this.#count);
  }

  *pages(): Generator<LtxPage> {
    const pageSize = this.#pageSize;
    const perRead = Math.max(1, Math.floor(READ_BYTES / pageSize));
    const buffer = new Uint8Array(perRead * pageSize);
    for (let at = 0; at < this.#count; at += perRead) {
      const pages = Math.min(perRead, this.#count - at);
      this.#read(buffer.subarray(0, pages * pageSize), at * pageSize);
      for (let i = 0; i < pages; i++)
        yield { pgno: this.#numbers[at + i] as number, data: buffer.subarray(i * pageSize, (i + 1) * pageSize) };
    }
  }

  /** They ascend: page 1 can only be the first. */
  first(): Uint8Array | undefined {
    if (this.#count === 0 || this.#numbers[0] !== 1) return undefined;
    const page = new Uint8Array(this.#pageSize);
    this.#read(page, 0);
    return page;
  }

  /** Gives the space back. To be called once. */
  close(): void {
    closeSync(this.#fd);
  }

  #write(batch: readonly LtxPage[]): void {
    for (const { pgno } of batch) {
      if (this.#count === this.#numbers.length) {
        const grown = new Uint32Array(2 * this.#count);
        grown.set(this.#numbers);
        this.#numbers = grown;
      }
      this.#numbers[this.#count++] = pgno;
    }
    let left = batch.map((page) => page.data);
    try {
      while (left.length > 0) left = after(left, writevSync(this.#fd, left));
    } catch (error) {
      throw wrapFileError(error, this.#path);
    }
  }

  #read(into: Uint8Array, offset: number): void {
    for (let done = 0; done < into.byteLength; ) {
      const read = readSync(this.#fd, into, done, into.byteLength - done, offset + done);
      if (read === 0) throw new Error(`${this.#path} ends before its last page`);
      done += read;
    }
  }
}

/** What is left of the pieces when `written` bytes of them are out. */
function after(pieces: readonly Uint8Array[], written: number): Uint8Array[] {
  const left = [...pieces];
  while (left.length > 0 && written >= (left[0] as Uint8Array).byteLength)
    written -= (left.shift() as Uint8Array).byteLength;
  if (written > 0) left[0] = (left[0] as Uint8Array).subarray(written);
  return left;
}
