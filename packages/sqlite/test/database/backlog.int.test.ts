/** A primary that has fallen behind prepares entries ahead: they still go one after the other, whatever happens meanwhile. */
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { integrity, rowsOf, TestCluster, write } from './cluster.ts';

/** Several entries, each far below the size from which one is streamed. */
const COMMITS = 40;
const insert =
  'WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t(x) SELECT randomblob(2000) FROM n';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

test('what piled up while the server was away arrives whole and in order, though the server dies again meanwhile', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer, x)');
  const { txid: before } = await a.database.sync();
  const { server } = cluster.nats;
  await server.kill();
  for (let i = 0; i < COMMITS; i++) write(a.path, insert);
  await server.restart();
  // As soon as one entry of the backlog is there, the next is under way and another one prepared.
  await eventually(() => a.database.status().position.txid > before, { timeoutMs: 30_000 });
  await server.kill();
  await server.restart();
  const position = await a.database.sync({ signal: AbortSignal.timeout(60_000) });

  await using session = await connectNats(cluster.connection, { name: 'test', env: systemEnv() });
  const blobs = await session.blobs('test_app_wal');
  const entries = await new SegmentLog({ blobs, clock: systemClock }).entries(before + 1);
  expect(entries.length).toBeGreaterThan(3);
  expect(entries.map(({ maxTxid }) => maxTxid)).toEqual(entries.map((_, i) => before + 1 + i));
  const revisions = entries.map(({ revision }) => revision);
  expect(revisions).toEqual([...revisions].sort((x, y) => x - y));

  const b = await cluster.started('b');
  await b.database.waitFor(position);
  const sql = 'SELECT count(*) AS n, sum(id) AS ids, max(hex(substr(x, 1, 8))) AS top FROM t';
  expect(rowsOf(b.path, sql)).toEqual(rowsOf(a.path, sql));
  expect(rowsOf(b.path, 'SELECT count(*) AS n FROM t')).toEqual([{ n: COMMITS * 500 }]);
  expect(integrity(b.path)).toBe('ok');
}, 120_000);
