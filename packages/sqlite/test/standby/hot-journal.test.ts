import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import {
  encodeJournalHeader,
  encodeJournalRecord,
  JOURNAL_TAIL,
  journalRecordSize,
} from '../../src/standby/hot-journal.ts';

const PAGE = 1024;

function journalOf(old: Uint8Array, nonce: number): Uint8Array {
  const pages = old.byteLength / PAGE;
  const records = new Uint8Array(pages * journalRecordSize(PAGE));
  for (let i = 0; i < pages; i++)
    encodeJournalRecord(records, i * journalRecordSize(PAGE), i + 1, old.subarray(i * PAGE, (i + 1) * PAGE), nonce);
  const header = encodeJournalHeader({ records: pages, nonce, oldPages: pages, pageSize: PAGE });
  return Buffer.concat([header, records, JOURNAL_TAIL]);
}

test('SQLite rolls a half-written file back from our journal, growth and shrinking included', () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-journal-'));
  try {
    for (const newSize of [0.5, 1, 2]) {
      const path = join(directory, `${newSize}.db`);
      const made = new DatabaseSync(path);
      made.exec(`PRAGMA page_size=${PAGE}; CREATE TABLE t(x); INSERT INTO t VALUES (hex(randomblob(4000)))`);
      const before = made.prepare('SELECT x FROM t').all();
      made.close();
      const old = readFileSync(path);
      writeFileSync(`${path}-journal`, journalOf(old, 0xfedc_ba98));
      const torn = Buffer.from(old);
      torn.fill(0x5a, PAGE);
      writeFileSync(path, torn);
      truncateSync(path, Math.floor((old.byteLength * newSize) / PAGE) * PAGE);
      const reader = new DatabaseSync(path);
      expect(reader.prepare('SELECT x FROM t').all()).toEqual(before);
      expect(Object.values(reader.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok']);
      reader.close();
      expect(readFileSync(path).equals(old)).toBe(true);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a journal whose checksums do not match is not believed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-journal-'));
  try {
    const path = join(directory, 'a.db');
    const made = new DatabaseSync(path);
    made.exec(`PRAGMA page_size=${PAGE}; CREATE TABLE t(x); INSERT INTO t VALUES ('old')`);
    made.close();
    const old = readFileSync(path);
    const journal = Buffer.from(journalOf(old, 7));
    for (let at = 512 + PAGE + 4; at < journal.byteLength; at += journalRecordSize(PAGE)) journal[at] = 1;
    const current = new DatabaseSync(path);
    current.exec(`UPDATE t SET x = 'new'`);
    current.close();
    writeFileSync(`${path}-journal`, journal);
    const reader = new DatabaseSync(path);
    expect(reader.prepare('SELECT x FROM t').get()).toEqual({ x: 'new' });
    reader.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
