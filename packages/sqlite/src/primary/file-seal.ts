/**
 * What a database file was when the whole WAL had been copied into it: until we copy again nobody writes to it, because our
 * read transaction, which uses the file alone, keeps every other checkpoint from it. So where its size or some of its pages
 * are others, something that is not SQLite has written over it. Of a large file a sample is looked at.
 */
import { createHash } from 'node:crypto';
import { fstatSync, readSync } from 'node:fs';

/** Spread over the file, the first among them. */
const SAMPLED_PAGES = 64;

export class FileSeal {
  readonly #fd: number;
  readonly #pageSize: number;
  readonly #size: number;
  readonly #digest: string;
  #mtimeNs: bigint;

  /** As the file is now. */
  constructor(fd: number, pageSize: number) {
    this.#fd = fd;
    this.#pageSize = pageSize;
    const { size, mtimeNs } = fstatSync(fd, { bigint: true });
    this.#size = Number(size);
    this.#mtimeNs = mtimeNs;
    this.#digest = this.#sample();
  }

  /** Cheap while the file's time stamp is the same. A stamp alone, as `touch` leaves it, is no change. */
  get isBroken(): boolean {
    const { size, mtimeNs } = fstatSync(this.#fd, { bigint: true });
    if (Number(size) !== this.#size) return true;
    if (mtimeNs === this.#mtimeNs) return false;
    if (this.#sample() !== this.#digest) return true;
    this.#mtimeNs = mtimeNs;
    return false;
  }

  #sample(): string {
    const hash = createHash('sha256');
    const page = new Uint8Array(this.#pageSize);
    const pages = Math.floor(this.#size / this.#pageSize);
    const step = Math.max(1, pages / SAMPLED_PAGES);
    for (let at = 0; at < pages; at += step) {
      readSync(this.#fd, page, 0, page.length, Math.floor(at) * this.#pageSize);
      hash.update(page);
    }
    return hash.digest('hex');
  }
}
