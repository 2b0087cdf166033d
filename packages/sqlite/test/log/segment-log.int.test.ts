import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { epoch, systemClock, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type TestNatsServer, temporaryDirectory, testNatsServer, tinyFilesystem } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { restore } from '../../src/restore/restore.ts';
import { createSnapshot } from '../../src/restore/snapshot.ts';
import { page } from '../ltx/pages.ts';
import { pagesOf, Shipping, timeOf } from '../restore/shipping.ts';
import { WalDatabase } from '../wal/databases.ts';
import { fill, segment, snapshotAt } from './logs.ts';

let nats: TestNatsServer;
let session: NatsSession;
let buckets = 0;

beforeAll(async () => {
  nats = await testNatsServer();
  session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
});

afterAll(async () => {
  await session?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function freshLog(): Promise<{ log: SegmentLog; other: () => Promise<SegmentLog> }> {
  const bucket = `test_log${++buckets}_wal`;
  const open = async (): Promise<SegmentLog> =>
    new SegmentLog({ blobs: await session.blobs(bucket), clock: systemClock });
  await session.ensureBlobs(bucket);
  return { log: await open(), other: open };
}

describe('SegmentLog on a real server', () => {
  test('of two primaries that race for each transaction exactly one gets it', async () => {
    const { log, other } = await freshLog();
    await log.append(segment(1));
    const rivals = [log, await other(), await other()];
    for (let txid = 2; txid < 20; txid++) {
      const tries = await Promise.allSettled(
        rivals.map((rival, i) => rival.append(segment(txid, { node: `n${i}`, version: txid * 10 + i }))),
      );
      const won = tries.filter((one) => one.status === 'fulfilled');
      expect(won).toHaveLength(1);
      for (const lost of tries.filter((one) => one.status === 'rejected'))
        expect(lost.reason).toMatchObject({ code: 'SQLITE_FENCED', fields: { takenNode: won[0]?.value.node } });
    }
    expect((await log.end())?.position.txid).toBe(19);
  });

  test('a follower gets every transaction in order while it is written', async () => {
    const { log, other } = await freshLog();
    await fill(log, 1, 20);
    const follower = await other();
    const seen: number[] = [];
    const following = (async () => {
      for await (const entry of follower.follow(0)) if (seen.push(entry.maxTxid) === 120) return;
    })();
    await fill(log, 21, 120);
    await following;
    expect(seen).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
  });

  test('a primary that slept through a trim is fenced, and the log stays as it was', async () => {
    const { log, other } = await freshLog();
    await fill(log, 1, 3);
    const rival = await other();
    await fill(rival, 4, 9, { epoch: epoch(2), node: 'b' });
    await snapshotAt(rival, 9);
    expect((await rival.trim({ keepMs: 0, keepCount: 2 })).segments).toBe(7);
    await expect(log.append(segment(4))).rejects.toMatchObject({ code: 'SQLITE_FENCED', fields: { takenEpoch: 2 } });
    expect((await rival.entries()).map((entry) => entry.maxTxid)).toEqual([8, 9]);
    expect((await rival.append(segment(10, { epoch: epoch(2), node: 'b' }))).maxTxid).toBe(10);
  });

  test('a real database through the bucket and back, whole and from a snapshot', async () => {
    using source = new WalDatabase();
    const { log } = await freshLog();
    const shipping = new Shipping(source, log);
    await shipping.run('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
    for (let i = 0; i < 10; i++) await shipping.run(`INSERT INTO t (body) VALUES (hex(randomblob(${i * 5000})))`);
    const dest = join(source.directory, 'out.db');
    await restore({ log, dest, check: 'full' });
    expect(readFileSync(dest).equals(shipping.states.get(11) as Buffer)).toBe(true);
    const state = shipping.states.get(11) as Buffer;
    await createSnapshot({
      log,
      source: pagesOf(state, 4096),
      txid: 11,
      epoch: epoch(1),
      node: 'b',
      timestamp: timeOf(11),
    });
    await log.trim({ keepMs: 0, keepCount: 2 });
    await shipping.run('DELETE FROM t WHERE id < 5');
    await restore({ log, dest, overwrite: true, check: 'full' });
    expect(readFileSync(dest).equals(shipping.states.get(12) as Buffer)).toBe(true);
  });

  test('a large snapshot streams both ways in bounded memory', async () => {
    const { log } = await freshLog();
    await using directory = await temporaryDirectory('restore');
    const pageCount = 40_000;
    const data = new Uint8Array(4096);
    const read = (pgno: number): Uint8Array => {
      data.set(page(pgno, 0, 1024).data);
      return data;
    };
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watch = (): void => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    };
    const source = { pageSize: 4096, pageCount, read };
    await createSnapshot({ log, source, txid: 5, epoch: epoch(1), node: 'a', timestamp: timeOf(5), onProgress: watch });
    const dest = join(directory.path, 'out.db');
    const done = await restore({ log, dest, onProgress: watch });
    expect(done.commit).toBe(pageCount);
    expect(most).toBeLessThan(100 * 1024 * 1024);
  });

  test('a full disk: SQLITE_DISK_FULL, and nothing half-done is left', async (context) => {
    const small = await tinyFilesystem(4 * 1024 * 1024);
    if (small.path === undefined) return context.skip(small.reason);
    await using _unmounted = small;
    const { log } = await freshLog();
    await snapshotAt(log, 3, 20_000);
    const dest = join(small.path, 'out.db');
    await expect(restore({ log, dest })).rejects.toMatchObject({ code: 'SQLITE_DISK_FULL' });
    expect(readdirSync(small.path)).toEqual([]);
  });
});
