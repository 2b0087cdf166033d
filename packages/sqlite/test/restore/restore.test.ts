import { readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { epoch } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import { segmentName } from '../../src/log/names.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { type RestoreProgress, restore } from '../../src/restore/restore.ts';
import { createSnapshot } from '../../src/restore/snapshot.ts';
import { BUCKET, fill, type MemoryLog, memoryLog, segment, snapshotAt } from '../log/logs.ts';
import { header, page } from '../ltx/pages.ts';
import { WalDatabase } from '../wal/databases.ts';
import { pagesOf, Shipping, timeOf } from './shipping.ts';

const SCRIPT = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)',
  ...Array.from({ length: 6 }, (_, i) => `INSERT INTO t (body) VALUES (hex(randomblob(${(i + 1) * 900})))`),
  'CREATE INDEX i ON t (body)',
  'DELETE FROM t WHERE id % 2 = 0',
  'VACUUM',
  ...Array.from({ length: 5 }, () => 'INSERT INTO t (body) VALUES (hex(randomblob(9000)))'),
  'UPDATE t SET body = lower(body)',
];

interface Shipped extends MemoryLog {
  readonly shipping: Shipping;
  readonly source: WalDatabase;
}

async function shipped(source: WalDatabase): Promise<Shipped> {
  const given = await memoryLog();
  const shipping = new Shipping(source, given.log);
  for (const sql of SCRIPT) await shipping.run(sql);
  return { ...given, shipping, source };
}

const leftIn = (source: WalDatabase): string[] =>
  readdirSync(source.directory).filter((name) => name.startsWith('out'));

describe('restore', () => {
  test('to the end and to every transaction: byte for byte what SQLite has', async () => {
    using source = new WalDatabase(1024);
    const { log, shipping } = await shipped(source);
    for (const [txid, state] of [...shipping.states, [undefined, shipping.states.get(shipping.txid)] as const]) {
      const dest = join(source.directory, `out-${txid}.db`);
      const done = await restore({ log, dest, check: 'full', ...(txid === undefined ? {} : { target: { txid } }) });
      expect(readFileSync(dest).equals(state as Buffer)).toBe(true);
      expect(done).toMatchObject({ position: { epoch: 1, txid: txid ?? shipping.txid }, pageSize: 1024 });
      expect(done.commit * 1024).toBe(state?.length);
    }
  });

  test('from snapshots with the tail, after the rest was trimmed; to a moment', async () => {
    using source = new WalDatabase(4096);
    const { log, shipping } = await shipped(source);
    for (const txid of [4, 12]) {
      const state = shipping.states.get(txid) as Buffer;
      await createSnapshot({
        log,
        source: pagesOf(state, 4096),
        txid,
        epoch: epoch(1),
        node: 'a',
        timestamp: timeOf(txid),
      });
    }
    expect((await log.trim({ keepMs: 0, keepCount: 2 })).segments).toBe(12);
    const dest = join(source.directory, 'out.db');
    const done = await restore({ log, dest, check: 'quick' });
    expect(done.files).toBe(1 + shipping.txid - 12);
    expect(readFileSync(dest).equals(shipping.states.get(shipping.txid) as Buffer)).toBe(true);
    await restore({ log, dest, overwrite: true, target: { timestamp: timeOf(14) } });
    expect(readFileSync(dest).equals(shipping.states.get(13) as Buffer)).toBe(true);
    await restore({ log, dest, overwrite: true, target: { timestamp: timeOf(5) } });
    expect(readFileSync(dest).equals(shipping.states.get(4) as Buffer)).toBe(true);
    await expect(restore({ log, dest, overwrite: true, target: { txid: 7 } })).rejects.toMatchObject({
      code: 'SQLITE_TARGET_UNREACHABLE',
    });
    expect(leftIn(source)).toEqual(['out.db']);
  });

  test('progress grows to the total; the caller may finish the file before it appears', async () => {
    using source = new WalDatabase(512);
    const { log } = await memoryLog();
    await snapshotAt(log, 5, 9000);
    const seen: RestoreProgress[] = [];
    const dest = join(source.directory, 'out.db');
    const prepare = (fd: number): void => void writeSync(fd, Buffer.from('mine'), 0, 4, 18);
    await restore({ log, dest, onProgress: (progress) => seen.push(progress), prepare });
    expect(seen.length).toBeGreaterThan(3);
    for (let i = 1; i < seen.length; i++)
      expect(seen[i]?.doneBytes).toBeGreaterThanOrEqual(seen[i - 1]?.doneBytes as number);
    expect(seen.at(-1)?.doneBytes).toBe(seen.at(-1)?.totalBytes);
    const file = readFileSync(dest);
    expect(file.toString('latin1', 18, 22)).toBe('mine');
    expect(file.subarray(512).equals(Buffer.concat(Array.from({ length: 8999 }, (_, i) => page(i + 2, 5).data)))).toBe(
      true,
    );
  });

  test('a damaged, missing or ill-fitting object stops it, and the old file stays', async () => {
    using source = new WalDatabase(512);
    const dest = join(source.directory, 'out.db');
    writeFileSync(dest, 'precious');
    const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length - 9);
    const grown = encodeLtx(header({ minTxid: 3, maxTxid: 3, commit: 9 }), [page(9)]);
    const wide = encodeLtx(header({ minTxid: 3, maxTxid: 3, pageSize: 1024 }), []);
    const cases: [Uint8Array, string][] = [
      [cut(segment(3).bytes as Uint8Array), 'SQLITE_LTX_INVALID'],
      [grown, 'SQLITE_LTX_INVALID'],
      [wide, 'SQLITE_PAGE_SIZE_MISMATCH'],
    ];
    for (const [bytes, code] of cases) {
      const { log, blobs } = await memoryLog();
      await fill(log, 1, 2);
      await blobs.put(segmentName(3), bytes);
      await expect(restore({ log, dest, overwrite: true })).rejects.toMatchObject({ code });
    }
    const { log, blobs, nats } = await memoryLog();
    await expect(restore({ log, dest, overwrite: true })).rejects.toMatchObject({ code: 'SQLITE_LOG_EMPTY' });
    await fill(log, 1, 4);
    await blobs.delete(segmentName(2));
    await expect(restore({ log, dest, overwrite: true })).rejects.toMatchObject({ code: 'SQLITE_LOG_GAP' });
    nats.dropBlobs(BUCKET);
    await expect(restore({ log, dest, overwrite: true })).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
    expect(readFileSync(dest, 'utf8')).toBe('precious');
    expect(leftIn(source)).toEqual(['out.db']);
  });

  test('pages that are no database fail the check, and nothing appears', async () => {
    using source = new WalDatabase(512);
    const { log } = await memoryLog();
    await fill(log, 1, 3);
    const dest = join(source.directory, 'out.db');
    await expect(restore({ log, dest, check: 'quick' })).rejects.toMatchObject({ code: 'SQLITE_INTEGRITY_FAILED' });
    expect(leftIn(source)).toEqual([]);
  });

  test('never over an existing file or beside old side files unless told', async () => {
    using source = new WalDatabase(512);
    const { log } = await memoryLog();
    await fill(log, 1, 3);
    const dest = join(source.directory, 'out.db');
    writeFileSync(`${dest}-wal`, 'old');
    await expect(restore({ log, dest })).rejects.toMatchObject({ code: 'SQLITE_DESTINATION_EXISTS' });
    await restore({ log, dest, overwrite: true });
    expect(leftIn(source)).toEqual(['out.db']);
    await expect(restore({ log, dest })).rejects.toMatchObject({ code: 'SQLITE_DESTINATION_EXISTS' });
  });

  test('an object trimmed away meanwhile is done without', async () => {
    using source = new WalDatabase(512);
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 6);
    const read = blobs.read.bind(blobs);
    let first = true;
    blobs.read = async (name, options) => {
      if (first) {
        first = false;
        await snapshotAt(log, 6);
        await log.trim({ keepMs: 0, keepCount: 2 });
      }
      return read(name, options);
    };
    const done = await restore({ log, dest: join(source.directory, 'out.db') });
    expect(done).toMatchObject({ position: { txid: 6 }, files: 1 });
  });

  test('an abort leaves nothing', async () => {
    using source = new WalDatabase(512);
    const { log } = await memoryLog();
    await snapshotAt(log, 5, 20_000);
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new Error('enough'));
    const dest = join(source.directory, 'out.db');
    await expect(restore({ log, dest, onProgress, signal: stop.signal })).rejects.toThrow('enough');
    expect(leftIn(source)).toEqual([]);
  });

  test('past a damaged full image with an older one; where none is left, the damage is told', async () => {
    const { log, blobs } = await memoryLog();
    using source = new WalDatabase(1024);
    await fill(log, 1, 6);
    for (const txid of [2, 4, 6]) await snapshotAt(log, txid);
    const dest = join(source.directory, 'out.db');
    const [, second, third] = await log.snapshots();
    for (const [image, files] of [
      [undefined, 1],
      [third, 3],
      [second, 5],
    ] as const) {
      if (image !== undefined) {
        const { bytes, info } = (await blobs.read(image.name)) as NonNullable<Awaited<ReturnType<typeof blobs.read>>>;
        await blobs.put(image.name, bytes.subarray(0, -20), { headers: info.headers });
      }
      expect(await restore({ log, dest, overwrite: true })).toMatchObject({ files, position: { txid: 6 } });
    }
    const whole = readFileSync(dest);
    for (let txid = 1; txid <= 4; txid++) await blobs.delete(segmentName(txid));
    await blobs.delete((await log.snapshots())[0]?.name as string);
    await expect(restore({ log, dest, overwrite: true })).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    expect(readFileSync(dest).equals(whole)).toBe(true);
  });
});
