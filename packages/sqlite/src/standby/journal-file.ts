/**
 * Writes the rollback journal of one apply: the old image of every page that is about to change or to be cut off. Until
 * it is complete the database is untouched and the journal is nobody's.
 */
import { closeSync, fchmodSync, fsyncSync, openSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { flushDirectory } from '../process/state-file.ts';
import { encodeJournalHeader, encodeJournalRecord, JOURNAL_TAIL, journalRecordSize } from './hot-journal.ts';
import { writeAll } from './write-all.ts';

/** Bytes gathered before a write. */
const BUFFER_BYTES = 1024 * 1024;

export interface JournalOrder {
  /** Of the database. */
  readonly path: string;
  /** Permissions of the database: whoever may write it may have to roll it back. */
  readonly mode: number;
  readonly pageSize: number;
  /** Size of the database in pages before the change. */
  readonly oldPages: number;
  readonly nonce: number;
  readonly flush: boolean;
  /** The pages whose old images are needed, the same at every call. */
  numbers(): Iterable<number>;
  /** Puts the page as it is in the file into the buffer. */
  read(pgno: number, into: Uint8Array): void;
  /** Called after each buffer: long work lets others run. */
  breathe(bytes: number): Promise<void> | undefined;
}

export function journalPath(path: string): string {
  return `${path}-journal`;
}

/** On failure there is no journal. */
export async function writeJournal(order: JournalOrder, records: number): Promise<void> {
  const path = journalPath(order.path);
  const fd = openSync(path, 'w', 0o600);
  try {
    fchmodSync(fd, order.mode);
    const { nonce, oldPages, pageSize } = order;
    writeAll(fd, encodeJournalHeader({ records, nonce, oldPages, pageSize }));
    await writeRecords(fd, order, records);
    writeAll(fd, JOURNAL_TAIL);
    if (order.flush) fsyncSync(fd);
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw error;
  }
  closeSync(fd);
  if (order.flush) flushDirectory(dirname(path));
}

async function writeRecords(fd: number, order: JournalOrder, records: number): Promise<void> {
  const { nonce, pageSize } = order;
  const size = journalRecordSize(pageSize);
  const perBuffer = Math.max(1, Math.min(records, Math.floor(BUFFER_BYTES / size)));
  const buffer = new Uint8Array(perBuffer * size);
  let used = 0;
  for (const pgno of order.numbers()) {
    const page = buffer.subarray(used + 4, used + 4 + pageSize);
    order.read(pgno, page);
    encodeJournalRecord(buffer, used, pgno, page, nonce);
    used += size;
    if (used < buffer.byteLength) continue;
    writeAll(fd, buffer);
    used = 0;
    const pause = order.breathe(buffer.byteLength);
    if (pause !== undefined) await pause;
  }
  writeAll(fd, buffer.subarray(0, used));
}
