import { expect, test } from 'vitest';
import { maskFileOwned, readFileHeader, stampReplica, stampWal } from '../../src/standby/page-one.ts';

function pageOne(pageSize = 4096): Uint8Array {
  const page = new Uint8Array(pageSize).fill(0x77, 100);
  page.set(new TextEncoder().encode('SQLite format 3\0'));
  const view = new DataView(page.buffer);
  view.setUint16(16, pageSize === 65536 ? 1 : pageSize);
  page[18] = 1;
  page[19] = 1;
  view.setUint32(24, 41);
  return page;
}

test('reads what belongs to the file', () => {
  expect(readFileHeader(pageOne())).toEqual({ pageSize: 4096, mode: 'rollback', counter: 41 });
  expect(readFileHeader(pageOne(65536))?.pageSize).toBe(65536);
  const wal = pageOne();
  stampWal(wal);
  expect(readFileHeader(wal)?.mode).toBe('wal');
});

test('refuses what is not a readable header', () => {
  expect(readFileHeader(new Uint8Array(99))).toBeUndefined();
  expect(readFileHeader(new Uint8Array(100))).toBeUndefined();
  const encrypted = pageOne().map((byte) => byte ^ 0x5c);
  expect(readFileHeader(encrypted)).toBeUndefined();
  const odd = pageOne();
  new DataView(odd.buffer).setUint16(16, 1000);
  expect(readFileHeader(odd)).toBeUndefined();
  const future = pageOne();
  future[19] = 3;
  expect(readFileHeader(future)).toBeUndefined();
});

test('a stamped replica is in rollback mode, with both counters and its size', () => {
  const page = pageOne();
  stampWal(page);
  stampReplica(page, 0xffff_fffe, 123);
  const view = new DataView(page.buffer);
  expect(readFileHeader(page)).toEqual({ pageSize: 4096, mode: 'rollback', counter: 0xffff_fffe });
  expect([view.getUint32(28), view.getUint32(92)]).toEqual([123, 0xffff_fffe]);
});

test('masked pages are equal when only the file-owned fields differ, and only then', () => {
  const a = pageOne();
  const b = pageOne();
  stampWal(b);
  new DataView(b.buffer).setUint32(24, 99);
  new DataView(b.buffer).setUint32(96, 3_053_004);
  expect(maskFileOwned(a)).toEqual(maskFileOwned(b));
  b[40] = 1;
  expect(maskFileOwned(a)).not.toEqual(maskFileOwned(b));
});
