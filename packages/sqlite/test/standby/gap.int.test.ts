/** A log whose single transactions were trimmed: followers go on over higher levels where those reach, else from a snapshot. */
import { epoch, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually, freezeTree, thawTree } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { entryHeaders, formatName } from '../../src/log/names.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { mergeLtx } from '../../src/ltx/merge.ts';
import { integrity, rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

/** Merges transactions into one file of level 1, as upkeep does, and removes what it covers. */
async function compact(from: number, to: number, options: { of?: number } = {}): Promise<void> {
  const session = await connectNats(cluster.connection, { name: 'test', env: systemEnv() });
  try {
    const blobs = await session.blobs('test_app_wal');
    const log = new SegmentLog({ blobs, clock: systemEnv().clock });
    const parts = [];
    for (let txid = from; txid <= to; txid++) parts.push(await log.read(txid));
    const merged = mergeLtx(parts.map((part) => (part as NonNullable<typeof part>).ltx));
    const bytes = encodeLtx(merged.header, merged.pages);
    const last = (parts.at(-1) as NonNullable<(typeof parts)[number]>).entry;
    const facts = { epoch: epoch(options.of ?? last.epoch), node: 'a', timestamp: last.timestamp };
    const headers = entryHeaders({ ...facts, kind: 'commit', digest: undefined, walEnd: undefined, note: undefined });
    await blobs.put(formatName({ level: 1, minTxid: from, maxTxid: to }), bytes, { headers });
    for (let txid = from; txid <= to; txid++)
      await blobs.delete(formatName({ level: 0, minTxid: txid, maxTxid: txid }));
  } finally {
    await session.close();
  }
}

async function pair(): Promise<[TestNode, TestNode]> {
  const [a, b] = await Promise.all([cluster.started('a'), cluster.started('b')]);
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  for (let i = 0; i < 3; i++) await commit(a);
  await b.database.waitFor(await a.database.sync());
  return [a, b];
}

async function commit(node: TestNode): Promise<number> {
  write(node.path, 'INSERT INTO t(x) VALUES (hex(randomblob(3000)))', 'DELETE FROM t WHERE id % 5 = 0');
  return (await node.database.sync()).txid;
}

const openings = (node: TestNode): number =>
  node.events.filter((event) => event.type === 'role_changed' && event.role === 'opening').length;

const wasRebuilt = (node: TestNode): boolean => node.events.some((event) => event.type === 'bootstrap_progress');

test('a standby that was away goes on over a file that begins before its place and ends behind it', async () => {
  const [a, b] = await pair();
  await b.database.stop();
  const own = b.database.status().position.txid;
  let end = own;
  while (end < own + 12) end = await commit(a);
  await compact(own - 1, end - 3);
  const back = await cluster.started('b', {}, { path: b.path });
  await back.database.waitFor(await a.database.sync());
  expect(wasRebuilt(back)).toBe(false);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  expect(integrity(b.path)).toBe('ok');
  // And goes on as before.
  await commit(a);
  await back.database.waitFor(await a.database.sync());
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
}, 60_000);

test('two files in a row, while the standby is asleep; and it can be promoted right behind them', async () => {
  const [a, b] = await pair();
  await b.database.stop();
  const own = b.database.status().position.txid;
  let end = own;
  while (end < own + 15) end = await commit(a);
  await compact(own + 1, own + 6);
  await compact(own + 7, end - 3);
  await a.database.stop();
  const back = await cluster.started('b', {}, { path: b.path });
  await back.promote(2);
  expect(wasRebuilt(back)).toBe(false);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  expect(integrity(b.path)).toBe('ok');
}, 60_000);

test('entries that are trimmed while a standby sleeps, and was just told of them, are reached over a file', async () => {
  const [a, b] = await pair();
  const own = b.database.status().position.txid;
  const before = openings(b);
  freezeTree(b.pid());
  try {
    let end = own;
    while (end < own + 12) end = await commit(a);
    await compact(own + 1, end - 2);
  } finally {
    thawTree(b.pid());
  }
  await b.database.waitFor(await a.database.sync(), { signal: AbortSignal.timeout(20_000) });
  expect(openings(b)).toBe(before);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
}, 60_000);

test('files that may be of another history are not used: the copy is made anew', async () => {
  const [a, b] = await pair();
  await b.database.stop();
  const own = b.database.status().position.txid;
  let end = own;
  while (end < own + 8) end = await commit(a);
  await compact(1, end - 2, { of: 0 });
  const back = await cluster.started('b', {}, { path: b.path });
  await back.database.waitFor(await a.database.sync());
  await eventually(() => wasRebuilt(back), { what: 'a rebuild' });
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
}, 60_000);
