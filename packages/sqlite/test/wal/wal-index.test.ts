import { closeSync, openSync, readSync } from 'node:fs';
import { expect, test } from 'vitest';
import { WalChecksum } from '../../src/wal/header.ts';
import { WalReader } from '../../src/wal/reader.ts';
import { endOf, parseWalIndex, sameIndex, type WalIndex } from '../../src/wal/wal-index.ts';
import { WalDatabase } from './databases.ts';

/** Through one descriptor for the whole test: closing one would drop the locks of the database that is open here. */
function indexOf(fd: number): WalIndex {
  const bytes = new Uint8Array(96);
  readSync(fd, bytes, 0, 96, 0);
  const state = parseWalIndex(bytes);
  expect(state.type).toBe('index');
  return state as WalIndex;
}

test.each([512, 4096, 65536])('pages of %d bytes: the index ends where the committed frames do', (pageSize) => {
  using source = new WalDatabase(pageSize);
  source.exec('PRAGMA cache_size = 5; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
  const fd = openSync(`${source.path}-shm`, 'r');
  const reader = new WalReader(source.openWal());
  let before = indexOf(fd);
  for (let i = 0; i < 5; i++) {
    source.exec(`INSERT INTO t (body) VALUES ('${'x'.repeat(i * 700)}')`);
    const now = indexOf(fd);
    const scan = reader.read();
    expect(scan.type === 'batch' && scan.end).toEqual(endOf(now));
    expect(now.pageSize).toBe(pageSize);
    expect(sameIndex(before, now)).toBe(false);
    before = now;
  }
  // Frames of a transaction that has not committed are in the file, but not in the index.
  source.exec('BEGIN');
  for (let i = 0; i < 40; i++) source.exec(`INSERT INTO t (body) VALUES ('${'x'.repeat(3000)}')`);
  expect(sameIndex(before, indexOf(fd))).toBe(true);
  source.exec('ROLLBACK');
  source.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  const restarted = indexOf(fd);
  expect(restarted).toMatchObject({ frames: 0, salt1: before.salt1 + 1 });
  expect(endOf(restarted)).toBeUndefined();
  source.db.close();
  closeSync(fd);
});

/** A header as a machine of the given byte order writes it. */
function crafted(littleEndian: boolean, version = 3007000, szPage = 1): Uint8Array {
  const bytes = new Uint8Array(96);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, version, littleEndian);
  view.setUint32(8, 7, littleEndian);
  view.setUint8(12, 1);
  view.setUint8(13, littleEndian ? 0 : 1);
  view.setUint16(14, szPage, littleEndian);
  view.setUint32(16, 3, littleEndian);
  view.setUint32(24, 0xfffffffe, littleEndian);
  view.setUint32(28, 5, littleEndian);
  view.setUint32(32, 0xa1b2c3d4);
  view.setUint32(36, 0x01020304);
  const sum = new WalChecksum(!littleEndian, 0, 0);
  sum.update(view, 0, 40);
  view.setUint32(40, sum.s1, littleEndian);
  view.setUint32(44, sum.s2, littleEndian);
  bytes.copyWithin(48, 0, 48);
  return bytes;
}

test.each([true, false])('either byte order of the machine (little: %s); salts are bytes', (littleEndian) => {
  expect(parseWalIndex(crafted(littleEndian), littleEndian)).toEqual({
    type: 'index',
    change: 7,
    bigEndian: !littleEndian,
    pageSize: 65536,
    frames: 3,
    checksum1: 0xfffffffe,
    checksum2: 5,
    salt1: 0xa1b2c3d4,
    salt2: 0x01020304,
  });
  expect(parseWalIndex(crafted(littleEndian, 3007000, 32768), littleEndian)).toMatchObject({ pageSize: 32768 });
});

test('what is not published whole is unstable: short, halves that differ, a wrong checksum, not initialized', () => {
  const good = crafted(true);
  expect(parseWalIndex(good.subarray(0, 95), true)).toEqual({ type: 'unstable' });
  expect(parseWalIndex(new Uint8Array(96), true)).toEqual({ type: 'unstable' });
  for (let at = 0; at < 96; at++) {
    const bad = good.slice();
    bad[at] = (bad[at] as number) ^ 1;
    expect(parseWalIndex(bad, true), `byte ${at}`).toEqual({ type: 'unstable' });
    // Both halves alike, as nobody would have written them. The version comes first.
    bad.copyWithin(48 * (1 - Math.floor(at / 48)), 48 * Math.floor(at / 48), 48 * Math.floor(at / 48) + 48);
    if (at % 48 >= 4) expect(parseWalIndex(bad, true), `byte ${at} twice`).toEqual({ type: 'unstable' });
  }
});

test('a layout that is not known is said to be so', () => {
  expect(parseWalIndex(crafted(true, 3008000), true)).toEqual({ type: 'unknown', version: 3008000 });
});

test('a reader with a limit stops there, and chunks do not reach over it', () => {
  using source = new WalDatabase(512);
  source.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
  for (let i = 0; i < 20; i++) source.exec(`INSERT INTO t (body) VALUES ('${'x'.repeat(900)}')`);
  const reader = new WalReader(source.openWal());
  const all = reader.read();
  if (all.type !== 'batch') throw new Error('no batch');
  for (let limit = 32; limit <= all.end.offset; limit += 536) {
    const part = reader.scan({ ...all.from }, limit);
    expect(part?.end.offset).toBeLessThanOrEqual(limit);
    expect((part?.end.offset as number) + (part?.pendingBytes as number)).toBe(limit);
  }
});
