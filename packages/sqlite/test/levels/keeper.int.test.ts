/** A primary and its standby on a real server: the log is kept small, can be restored throughout, and leaves no traces. */
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { type Blobs, connectNats, type NatsSession } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SegmentLog, SnapshotStore } from '../../src/index.ts';
import type { KeeperStats } from '../../src/levels/keeper.ts';
import { restore } from '../../src/restore/restore.ts';
import { readVerified } from '../../src/verify/record.ts';
import { integrity, rowsOf, TestCluster, write } from '../database/cluster.ts';

const FAST = {
  compactionLevels: ['1s', '2s', '4s'],
  keepSegments: '1s',
  snapshotInterval: '2s',
  retention: '3s',
  keepSnapshots: 1,
  verifyInterval: '0s',
} as const;

let cluster: TestCluster;
let session: NatsSession;

beforeAll(async () => {
  cluster = await TestCluster.start();
  session = await connectNats(cluster.connection, { name: 'test', env: systemEnv() });
});

afterAll(async () => {
  await session.close();
  await cluster[Symbol.asyncDispose]();
});

const logOf = async (app: string): Promise<{ log: SegmentLog; blobs: Blobs }> => {
  const blobs = await session.blobs(`test_${app}_wal`);
  return { blobs, log: new SegmentLog({ blobs, clock: systemEnv().clock }) };
};

describe('the log of a primary', () => {
  test('is merged and shortened while it is written, restorable at every moment', { timeout: 60_000 }, async () => {
    const node = cluster.node('keep', FAST, { app: 'kept' });
    await node.database.start();
    await node.promote(1);
    write(node.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
    const { log, blobs } = await logOf('kept');
    const dest = join(cluster.directory.path, 'kept-restored.db');
    let rows = 0;
    let last = 0;
    const stats = async (): Promise<KeeperStats> => {
      const answer = await node.database.admin?.({ op: 'stats' });
      return (answer as { upkeep: KeeperStats }).upkeep;
    };
    const started = performance.now();
    let seen = await stats();
    while (seen.deletedMerged < 3 || seen.deletedSnapshots < 2 || seen.deletedSegments < 100) {
      expect(performance.now() - started).toBeLessThan(45_000);
      for (let i = 0; i < 20; i++) {
        write(node.path, `INSERT INTO t (body) VALUES (hex(randomblob(${100 + i * 40})))`);
        await node.database.sync();
        rows++;
      }
      const done = await restore({ log, dest, overwrite: true, check: 'full' });
      expect(done.position.txid).toBeGreaterThanOrEqual(last);
      last = done.position.txid;
      expect(rowsOf(dest)).toHaveLength(rows);
      seen = await stats();
    }
    expect(seen.merges).toBeGreaterThan(5);
    const entries = await log.all();
    expect(entries.length).toBeLessThan(last / 2);
    // An object is one entry and at least one chunk: whatever was deleted has left no message.
    const sizes = entries.reduce((sum, entry) => sum + 1 + Math.max(1, Math.ceil(entry.size / 1_000_000)), 0);
    await eventually(async () => {
      const now = await log.all();
      const messages = (await blobs.bucketInfo()).messages ?? 0;
      return messages <= Math.max(sizes, now.length * 3) && messages < last;
    });
    await node.database.stop();
  });

  test('is left alone by a primary that was fenced', { timeout: 60_000 }, async () => {
    const first = cluster.node('fence1', FAST, { app: 'fenced' });
    const second = cluster.node('fence2', FAST, { app: 'fenced' });
    await first.database.start();
    await first.promote(1);
    write(first.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
    await second.database.start();
    await second.database.waitFor(await first.database.sync());
    await second.promote(2);
    await first.event('fenced');
    const merges = async (of: typeof first): Promise<number | undefined> => {
      const answer = await of.database.admin?.({ op: 'stats' });
      return (answer as { upkeep?: KeeperStats }).upkeep?.merges;
    };
    const before = await merges(first);
    for (let made = 0; made < 3; made = (await merges(second)) ?? 0) {
      write(second.path, "INSERT INTO t (body) VALUES ('x')");
      await second.database.sync();
    }
    expect(first.database.status().role).toBe('primary');
    expect(await merges(first)).toBe(before);
    await Promise.all([first.database.stop(), second.database.stop()]);
  });

  test('a proof is recorded for everybody; the reason for a failed one is told', { timeout: 60_000 }, async () => {
    // Without merges: a restore would do without the entry that is damaged here.
    const options = { verifyInterval: '0s', compactionLevels: [] } as const;
    const first = cluster.node('prove1', options, { app: 'proven' });
    const second = cluster.node('prove2', options, { app: 'proven' });
    await first.database.start();
    await first.promote(1);
    write(first.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY)', 'INSERT INTO t VALUES (1), (2)');
    await first.database.sync();
    await second.database.start();
    const { blobs, log } = await logOf('proven');
    expect(first.database.status().lastVerifiedAt).toBeUndefined();
    const verified = await second.database.admin?.({ op: 'verify.run' });
    expect(verified).toMatchObject({ node: 'prove2', method: 'full', bytes: 8192, position: { epoch: 1 } });
    expect(await readVerified(blobs)).toEqual(verified);
    await eventually(() => first.database.status().lastVerifiedAt === (verified as { at: number }).at);
    await second.event('restore_verified');

    const entries = await log.entries();
    const damaged = entries.at(-1)?.name as string;
    const { bytes, info } = (await blobs.read(damaged)) ?? {};
    await blobs.put(damaged, (bytes as Uint8Array).subarray(0, -3), { headers: info?.headers ?? {} });
    await expect(second.database.admin?.({ op: 'verify.run' })).rejects.toMatchObject({ code: 'SQLITE_VERIFY_FAILED' });
    expect((await second.event('warning')).code).toBe('SQLITE_VERIFY_FAILED');
    await eventually(() => second.database.status().problem?.includes('could not be restored'));
    // A later success, on whatever node, ends it.
    await blobs.put(damaged, bytes as Uint8Array, { headers: info?.headers ?? {} });
    await first.database.admin?.({ op: 'verify.run' });
    await eventually(() => second.database.status().problem === undefined);
    await Promise.all([first.database.stop(), second.database.stop()]);
  });

  test('a proof by schedule is a standby’s, and the primary’s where there is none', { timeout: 60_000 }, async () => {
    const options = { verifyInterval: '4s' } as const;
    const first = cluster.node('sched1', options, { app: 'scheduled' });
    const second = cluster.node('sched2', options, { app: 'scheduled' });
    await first.database.start();
    await first.promote(1);
    write(first.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY)');
    await first.database.sync();
    await first.event('restore_verified');
    await second.database.start();
    await second.event('restore_verified');
    await Promise.all([first.database.stop(), second.database.stop()]);
  });

  test('named snapshots: made by any node, listed, restored, deleted', { timeout: 60_000 }, async () => {
    const first = cluster.node('named1', FAST, { app: 'named' });
    const second = cluster.node('named2', FAST, { app: 'named' });
    await first.database.start();
    await first.promote(1);
    write(first.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
    // Not synced by us: what is committed is in it all the same.
    const made = await first.database.admin?.({ op: 'snapshot.create', name: 'before-upgrade' });
    expect(made).toMatchObject({ id: 'before-upgrade', databaseBytes: 8192, node: 'named1', position: { epoch: 1 } });
    write(first.path, 'INSERT INTO t VALUES (2)');
    await second.database.start();
    await second.database.waitFor(await first.database.sync());
    const later = (await second.database.admin?.({ op: 'snapshot.create' })) as { id: string };
    expect(await first.database.admin?.({ op: 'snapshot.list' })).toEqual([made, later]);
    const again = first.database.admin?.({ op: 'snapshot.create', name: 'before-upgrade' });
    await expect(again).rejects.toMatchObject({ code: 'SQLITE_SNAPSHOT_EXISTS' });
    const store = new SnapshotStore({ blobs: await session.blobs('test_named_snapshots'), env: systemEnv() });
    const dest = join(cluster.directory.path, 'named-restored.db');
    await store.restore('before-upgrade', { dest, check: 'full' });
    expect(rowsOf(dest)).toEqual([{ id: 1 }]);
    await store.restore(later.id, { dest, overwrite: true });
    expect(rowsOf(dest)).toEqual([{ id: 1 }, { id: 2 }]);
    expect(integrity(dest)).toBe('ok');
    await first.database.admin?.({ op: 'snapshot.delete', id: 'before-upgrade' });
    await expect(store.restore('before-upgrade', { dest })).rejects.toMatchObject({ code: 'SQLITE_SNAPSHOT_MISSING' });
    expect(await store.latest()).toMatchObject({ id: later.id });
    const wrong = first.database.admin?.({ op: 'snapshot.creat' });
    await expect(wrong).rejects.toMatchObject({ code: 'SQLITE_ADMIN_UNKNOWN' });
    await Promise.all([first.database.stop(), second.database.stop()]);
  });
});
