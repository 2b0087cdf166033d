/** `applied: n` with real standbys: what it promises holds for readers, and who is dead or asleep does not count. */
import type { Position, Promotable } from '@canopy/core';
import { eventually, freezeTree, thawTree } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

async function three(): Promise<[TestNode, TestNode, TestNode]> {
  const [a, b, c] = await Promise.all([cluster.started('a'), cluster.started('b'), cluster.started('c')]);
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  await applied(a.database, 2);
  return [a, b, c];
}

const applied = (database: Promotable, count: number, timeoutMs = 20_000): Promise<Position> =>
  database.sync({ durability: { applied: count }, signal: AbortSignal.timeout(timeoutMs) });

const count = (node: TestNode): number => (rowsOf(node.path, 'SELECT count(*) AS n FROM t')[0] as { n: number }).n;

test('what two standbys have applied is read in both files the moment the call resolves', async () => {
  const [a, b, c] = await three();
  const times: number[] = [];
  for (let i = 1; i <= 50; i++) {
    write(a.path, `INSERT INTO t(x) VALUES (${i})`);
    const began = performance.now();
    await applied(a.database, 2);
    times.push(performance.now() - began);
    expect([count(b), count(c)]).toEqual([i, i]);
  }
  times.sort((x, y) => x - y);
  process.stdout.write(`applied by two standbys: p50 ${times[25]?.toFixed(1)} ms, max ${times[49]?.toFixed(1)} ms\n`);
  // No commit in between: nothing is applied that could be told, so it is asked.
  await applied(a.database, 2);
}, 60_000);

test('a killed and a frozen standby do not count, and the error says who had it', async () => {
  const [a, b, c] = await three();
  const frozen = freezeTree(c.pid());
  try {
    write(a.path, 'INSERT INTO t(x) VALUES (1)');
    expect(await applied(a.database, 1)).toMatchObject({ epoch: 1 });
    expect(count(b)).toBe(1);
    await expect(applied(a.database, 2, 1500)).rejects.toMatchObject({
      code: 'SQLITE_NOT_APPLIED',
      fields: { applied: 1, wanted: 2, nodes: 'b' },
    });
    const waiting = applied(a.database, 2);
    thawTree(c.pid());
    await waiting;
    expect(count(c)).toBe(1);
  } finally {
    if (frozen.length > 0) thawTree(c.pid());
  }
  await b.database.stop();
  write(a.path, 'INSERT INTO t(x) VALUES (2)');
  await expect(applied(a.database, 2, 1000)).rejects.toMatchObject({ fields: { applied: 1, nodes: 'c' } });
  // It is in the log all the same.
  expect((await a.database.sync()).txid).toBe(a.database.status().position.txid);
  await expect(a.database.sync({ durability: { applied: 0 } })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
}, 60_000);

test('after a handover the new primary counts the old one, under its own epoch', async () => {
  const [a, b, c] = await three();
  await a.database.demote();
  await eventually(() => a.database.status().role === 'standby');
  await b.promote(2);
  write(b.path, 'INSERT INTO t(x) VALUES (1)');
  await applied(b.database, 2);
  expect([count(a), count(c)]).toEqual([1, 1]);
  await expect(applied(a.database, 1)).rejects.toMatchObject({ code: 'SQLITE_NOT_PRIMARY' });
}, 60_000);

test('a primary that is demoted while somebody waits says so', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  const waiting = expect(applied(a.database, 1)).rejects.toMatchObject({ code: 'SQLITE_NOT_PRIMARY' });
  await a.database.sync();
  await a.database.demote();
  await waiting;
}, 60_000);
