/**
 * The -shm file of a pinned database, read past SQLite. Invariant: opened after the pin's connections (they make the
 * file) and closed after them: closing any descriptor of it drops all locks that SQLite holds on it in this process.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { sqliteErrors } from '../errors.ts';
import { INDEX_HEADER_SIZE, parseWalIndex, type WalIndex } from '../wal/wal-index.ts';

/** A writer publishes within microseconds: still unstable after so many looks, it has died or was stopped doing so. */
const LOOKS = 100;

export class WalIndexFile {
  readonly #path: string;
  readonly #fd: number;
  readonly #mend: () => void;
  readonly #bytes = new Uint8Array(INDEX_HEADER_SIZE);

  /** `mend` has SQLite look at the index: it rebuilds one that a dead writer has left half published. */
  constructor(path: string, mend: () => void) {
    this.#path = path;
    this.#mend = mend;
    this.#fd = openSync(`${path}-shm`, 'r');
  }

  /** What is committed now; undefined while that can't be told. Throws SQLITE_WAL_INDEX_UNKNOWN. */
  read(): WalIndex | undefined {
    const found = this.#stable();
    if (found !== undefined) return found;
    this.#mend();
    return this.#stable();
  }

  /** The path leads to another file, or to none: programs that come now would publish their commits elsewhere. */
  get isGone(): boolean {
    return statSync(`${this.#path}-shm`, { throwIfNoEntry: false })?.ino !== fstatSync(this.#fd).ino;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #stable(): WalIndex | undefined {
    for (let look = 0; look < LOOKS; look++) {
      const length = readSync(this.#fd, this.#bytes, 0, INDEX_HEADER_SIZE, 0);
      const state = parseWalIndex(this.#bytes.subarray(0, length));
      if (state.type === 'index') return state;
      if (state.type === 'unknown')
        throw sqliteErrors.create('SQLITE_WAL_INDEX_UNKNOWN', { path: this.#path, version: state.version });
    }
    return undefined;
  }
}
