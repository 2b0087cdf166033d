/**
 * Page 1 of a SQLite file carries the file's own header, and parts of it belong to the file rather than to the data: the
 * journal mode (18, 19), the change counter (24..27) and its copy (92..95). Every apply rewrites them: SQLite drops its
 * page cache when bytes 24..39 change, and trusts the size at 28..31 only while both counters agree.
 * File format of SQLite: do not change.
 */
const MAGIC = 'SQLite format 3\0';
const WRITE_VERSION = 18;
const READ_VERSION = 19;
const COUNTER = 24;
const SIZE_IN_PAGES = 28;
const COUNTER_COPY = 92;
const LIBRARY_VERSION = 96;

/** Bytes that a database file needs at least. */
export const HEADER_SIZE = 100;

export type FileMode = 'rollback' | 'wal';

export interface FileHeader {
  readonly pageSize: number;
  readonly mode: FileMode;
  readonly counter: number;
}

/** Undefined when these are not the first bytes of a SQLite file (encrypted files have no readable header either). */
export function readFileHeader(bytes: Uint8Array): FileHeader | undefined {
  if (bytes.byteLength < HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < MAGIC.length; i++) if (bytes[i] !== MAGIC.charCodeAt(i)) return undefined;
  const stored = view.getUint16(16);
  const pageSize = stored === 1 ? 65536 : stored;
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) return undefined;
  const version = bytes[READ_VERSION];
  if (version !== 1 && version !== 2) return undefined;
  return { pageSize, mode: version === 2 ? 'wal' : 'rollback', counter: view.getUint32(COUNTER) };
}

/** Makes the page that of a rollback-mode file of `pages` pages with this change counter. */
export function stampReplica(page: Uint8Array, counter: number, pages: number): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  page[WRITE_VERSION] = 1;
  page[READ_VERSION] = 1;
  view.setUint32(COUNTER, counter);
  view.setUint32(COUNTER_COPY, counter);
  view.setUint32(SIZE_IN_PAGES, pages);
}

/** Marks the page as that of a WAL-mode file: what a restored copy of a live primary should be. */
export function stampWal(page: Uint8Array): void {
  page[WRITE_VERSION] = 2;
  page[READ_VERSION] = 2;
}

/** A copy without what differs between two files of the same content. */
export function maskFileOwned(page: Uint8Array): Uint8Array {
  const copy = page.slice();
  copy.fill(0, WRITE_VERSION, READ_VERSION + 1);
  copy.fill(0, COUNTER, COUNTER + 4);
  copy.fill(0, COUNTER_COPY, LIBRARY_VERSION + 4);
  return copy;
}
