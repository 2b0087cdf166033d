import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseWalHeader, WalChecksum } from '../../src/wal/header.ts';
import { type WalBatch, type WalCursor, WalReader, type WalScan } from '../../src/wal/reader.ts';
import { WalDatabase } from './databases.ts';

const TABLE = 'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT);';
const row = (length: number): string => `INSERT INTO t (body) VALUES ('${'x'.repeat(length)}');`;

function batch(scan: WalScan): WalBatch {
  expect(scan.type).toBe('batch');
  return scan as WalBatch;
}

/** Puts what was read onto the database file as it was before: must give what SQLite itself sees. */
function applied(base: Uint8Array, reader: WalReader, scan: WalBatch): Buffer {
  const pageSize = scan.header.pageSize;
  const out = Buffer.alloc((scan.commit as number) * pageSize);
  out.set(base.subarray(0, out.length));
  for (const [pgno, frame] of scan.pages) out.set(reader.page(frame, new Uint8Array(pageSize)), (pgno - 1) * pageSize);
  return out;
}

describe('WalReader on real databases', () => {
  test.each([512, 4096, 65536])('pages of %d bytes: what it reads is what SQLite checkpoints', (pageSize) => {
    using source = new WalDatabase(pageSize);
    source.exec(TABLE);
    for (let i = 0; i < 30; i++) source.exec(row(i * 100));
    source.exec(`BEGIN; ${row(9)} ${row(70_000)} COMMIT; DELETE FROM t WHERE id % 3 = 0;`);
    source.exec(`BEGIN; ${row(50)} ROLLBACK;`);
    const base = readFileSync(source.path);
    const reader = new WalReader(source.openWal());
    const scan = batch(reader.read());
    expect(scan).toMatchObject({ transactions: 33, more: false, pendingBytes: 0 });
    expect(applied(base, reader, scan).equals(source.checkpointed())).toBe(true);
  });

  test('goes on where it stopped, and says when there is nothing', () => {
    using source = new WalDatabase();
    source.exec(TABLE);
    const reader = new WalReader(source.openWal());
    let cursor = batch(reader.read()).end;
    expect(batch(reader.read(cursor))).toMatchObject({ transactions: 0, commit: undefined, end: cursor });
    for (let i = 0; i < 5; i++) {
      source.exec(row(10));
      const scan = batch(reader.read(JSON.parse(JSON.stringify(cursor)) as WalCursor));
      expect(scan.transactions).toBe(1);
      expect(scan.end.offset).toBeGreaterThan(cursor.offset);
      cursor = scan.end;
    }
  });

  test('before the first write there is nothing', () => {
    using source = new WalDatabase();
    writeFileSync(join(source.directory, 'none'), '');
    const fd = openSync(join(source.directory, 'none'), 'r');
    expect(new WalReader(fd).read()).toEqual({ type: 'empty' });
    closeSync(fd);
  });

  test('a transaction that has spilled but not committed is not there, and leaves no trace when rolled back', () => {
    using source = new WalDatabase();
    source.exec(`PRAGMA cache_size = 5; ${TABLE}`);
    const reader = new WalReader(source.openWal());
    const before = batch(reader.read());
    source.exec('BEGIN');
    for (let i = 0; i < 50; i++) source.exec(row(3000));
    const during = batch(reader.read(before.end));
    expect(during.transactions).toBe(0);
    expect(during.pendingBytes).toBeGreaterThan(0);
    source.exec('ROLLBACK');
    source.exec(row(7));
    const after = batch(reader.read(before.end));
    expect(after.transactions).toBe(1);
    expect(applied(readFileSync(source.path), reader, batch(reader.read())).equals(source.checkpointed())).toBe(true);
  });

  test('a pass ends at a commit once it is past its limit', () => {
    using source = new WalDatabase();
    source.exec(TABLE);
    for (let i = 0; i < 40; i++) source.exec(row(100));
    const reader = new WalReader(source.openWal(), { maxBytes: 5 * 4120 });
    let cursor: WalCursor | undefined;
    let transactions = 0;
    let passes = 0;
    for (let more = true; more; passes++) {
      const scan = batch(reader.read(cursor));
      transactions += scan.transactions;
      cursor = scan.end;
      more = scan.more;
    }
    expect(transactions).toBe(41);
    expect(passes).toBeGreaterThan(5);
  });

  test('one restart with our tail still there: the unread rest first, then the new generation', () => {
    using source = new WalDatabase();
    source.exec(TABLE);
    for (let i = 0; i < 20; i++) source.exec(row(100));
    const reader = new WalReader(source.openWal());
    const read = batch(reader.read());
    source.exec(row(200));
    source.exec('PRAGMA wal_checkpoint(FULL)');
    source.exec(row(300));
    const rest = batch(reader.read(read.end));
    expect(rest.transactions).toBe(1);
    const turned = reader.read(rest.end);
    expect(turned).toMatchObject({ type: 'restarted', contiguous: true, next: { offset: 32 } });
    if (turned.type !== 'restarted') return;
    expect(batch(reader.read(turned.next)).transactions).toBe(1);
  });

  test('a restart that may have hidden commits is not contiguous', () => {
    using source = new WalDatabase();
    source.exec(TABLE);
    const reader = new WalReader(source.openWal());
    const early = batch(reader.read()).end;
    const restart = (): void => source.exec(`PRAGMA wal_checkpoint(FULL); ${row(100)}`);
    source.exec(row(100));
    const late = batch(reader.read()).end;
    restart();
    for (let i = 0; i < 5; i++) source.exec(row(100));
    expect(reader.read(late)).toMatchObject({ type: 'restarted', contiguous: false });
    expect(reader.read({ ...early, offset: 32 })).toMatchObject({ type: 'restarted', contiguous: false });
    for (let i = 0; i < 30; i++) source.exec(row(100));
    const long = batch(reader.read()).end;
    restart();
    restart();
    expect(reader.read(long)).toMatchObject({
      type: 'restarted',
      contiguous: false,
      reason: expect.stringContaining('more than once'),
    });
  });

  test('a truncated WAL and an overwritten tail are told apart from silence', () => {
    using source = new WalDatabase();
    source.exec(`${TABLE} ${row(10)}`);
    const reader = new WalReader(source.openWal());
    const cursor = batch(reader.read()).end;
    expect(reader.read({ ...cursor, checksum1: cursor.checksum1 ^ 1 })).toEqual({ type: 'overwritten' });
    source.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    expect(reader.read(cursor)).toEqual({ type: 'truncated', size: 0 });
    expect(() => reader.page(32, new Uint8Array(4096))).toThrow(
      expect.objectContaining({ code: 'SQLITE_WAL_CHANGED' }),
    );
  });
});

describe('WalReader on damaged files', () => {
  test('cut or flipped anywhere: ends at a commit before the damage', () => {
    using source = new WalDatabase(512);
    source.exec(TABLE);
    for (let i = 0; i < 25; i++) source.exec(row(i * 20));
    const good = source.walBytes();
    const ends = commitEnds(good);
    const path = join(source.directory, 'bad-wal');
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.option(fc.integer({ min: 1, max: 255 })), (where, flip) => {
        const bad = flip === null ? good.subarray(0, where) : Buffer.from(good);
        if (flip !== null) bad[where] = (bad[where] as number) ^ flip;
        writeFileSync(path, bad);
        const fd = openSync(path, 'r');
        try {
          const scan = new WalReader(fd).read();
          if (where < 32) expect(scan.type).toBe('empty');
          else expect(batch(scan).end.offset).toBe(ends.filter((end) => end <= where).at(-1) ?? 32);
        } finally {
          closeSync(fd);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('both byte orders of checksums', () => {
    using source = new WalDatabase();
    for (const sql of [TABLE, row(100), row(5000)]) source.exec(sql);
    const bytes = source.walBytes();
    const big = rechecksummed(bytes, true);
    const path = join(source.directory, 'big-wal');
    writeFileSync(path, big);
    const fd = openSync(path, 'r');
    const ours = batch(new WalReader(fd).read());
    closeSync(fd);
    const native = batch(new WalReader(source.openWal()).read());
    expect(ours.header.bigEndian).toBe(true);
    expect([...ours.pages]).toEqual([...native.pages]);
    expect(rechecksummed(big, false).equals(rechecksummed(bytes, false))).toBe(true);
  });
});

function commitEnds(wal: Buffer): number[] {
  const frame = 24 + (parseWalHeader(wal)?.pageSize as number);
  const ends: number[] = [];
  for (let at = 32; at + frame <= wal.length; at += frame) if (wal.readUInt32BE(at + 4) > 0) ends.push(at + frame);
  return ends;
}

/** The same WAL as a machine of the given byte order would have written it. */
function rechecksummed(wal: Buffer, bigEndian: boolean): Buffer {
  const out = Buffer.from(wal);
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  view.setUint32(0, bigEndian ? 0x377f0683 : 0x377f0682);
  const sum = new WalChecksum(bigEndian, 0, 0);
  const store = (at: number): void => {
    view.setUint32(at, sum.s1);
    view.setUint32(at + 4, sum.s2);
  };
  sum.update(view, 0, 24);
  store(24);
  const pageSize = out.readUInt32BE(8);
  for (let at = 32; at + 24 + pageSize <= out.length; at += 24 + pageSize) {
    sum.update(view, at, 8);
    sum.update(view, at + 24, pageSize);
    store(at + 16);
  }
  return out;
}
