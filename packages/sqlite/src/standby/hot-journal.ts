/**
 * The rollback journal as SQLite reads it, written by hand: a crash in the middle of an apply leaves a "hot" journal
 * that any SQLite connection rolls back by itself, so readers need nothing of ours. Invariant: a journal is complete on
 * disk before the first page of the database changes, and its removal is the commit point.
 * File format of SQLite: do not change.
 */
const MAGIC = Uint8Array.of(0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7);
/** The smallest legal one: the header fills one sector. */
const SECTOR_SIZE = 512;

export interface JournalHeader {
  readonly records: number;
  readonly nonce: number;
  /** Size of the database in pages before the change: what a rollback truncates to. */
  readonly oldPages: number;
  readonly pageSize: number;
}

/** The first sector. */
export function encodeJournalHeader(header: JournalHeader): Uint8Array {
  const bytes = new Uint8Array(SECTOR_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC, 0);
  view.setUint32(8, header.records);
  view.setUint32(12, header.nonce);
  view.setUint32(16, header.oldPages);
  view.setUint32(20, SECTOR_SIZE);
  view.setUint32(24, header.pageSize);
  return bytes;
}

/** Bytes of one record: page number, old page, checksum. */
export function journalRecordSize(pageSize: number): number {
  return pageSize + 8;
}

/** Writes the record for `page` (exactly one page long) into `target` at `offset`. */
export function encodeJournalRecord(
  target: Uint8Array,
  offset: number,
  pgno: number,
  page: Uint8Array,
  nonce: number,
): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  view.setUint32(offset, pgno);
  target.set(page, offset + 4);
  let sum = nonce;
  for (let at = page.byteLength - 200; at > 0; at -= 200) sum = (sum + (page[at] as number)) >>> 0;
  view.setUint32(offset + 4 + page.byteLength, sum);
}

/** Goes behind the last record: a file that happens to end in the magic bytes would be read as naming a super-journal. */
export const JOURNAL_TAIL: Uint8Array = new Uint8Array(8);
