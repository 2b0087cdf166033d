/** A standby and transactions of any size: memory does not grow with them, and a death in the middle costs nothing. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseEvent } from '@canopy/core';
import { eventually, tinyFilesystem } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';

const MB = 1024 * 1024;
const SUM = 'SELECT count(*) AS n, sum(length(x)) AS bytes, max(hex(substr(x, 1, 8))) AS last FROM t';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

async function pair(): Promise<[TestNode, TestNode]> {
  const [a, b] = await Promise.all([cluster.started('a'), cluster.started('b')]);
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  await b.database.waitFor(await a.database.sync());
  return [a, b];
}

/** The most memory of its own that the process ever had. */
const peakMb = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

const rows = (count: number, bytes = 1e6): string =>
  `WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO t(x) SELECT randomblob(${bytes}) FROM n`;

test('300 MB at once are applied without being held in memory: growth, change and shrinking', async () => {
  const [a, b] = await pair();
  const before = peakMb(b.pid());
  const steps = [rows(300), 'UPDATE t SET x = randomblob(1000000)', 'DELETE FROM t WHERE id > 3', 'VACUUM'];
  for (const sql of steps) {
    write(a.path, sql);
    await b.database.waitFor(await a.database.sync());
    expect(rowsOf(b.path, SUM)).toEqual(rowsOf(a.path, SUM));
  }
  const grown = peakMb(b.pid()) - before;
  process.stdout.write(`standby, transactions of 300 MB: ${grown.toFixed(0)} MB more at the peak\n`);
  expect(grown).toBeLessThan(100);
  expect(integrity(b.path)).toBe('ok');
  expect(statSync(b.path).size).toBeLessThan(5 * MB);
  expect(existsSync(`${b.path}-canopy/apply.spool`)).toBe(false);
}, 180_000);

test('pages that compress to almost nothing are not held in memory either', async () => {
  const [a, b] = await pair();
  const before = peakMb(b.pid());
  write(
    a.path,
    'WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t(x) SELECT zeroblob(1000000) FROM n',
  );
  await b.database.waitFor(await a.database.sync());
  const sql = 'SELECT count(*) AS n, sum(length(x)) AS bytes FROM t';
  expect(rowsOf(b.path, sql)).toEqual(rowsOf(a.path, sql));
  expect(peakMb(b.pid()) - before).toBeLessThan(100);
}, 120_000);

test('a large transaction for which the disk has no room is a passing problem, and touches nothing', async (context) => {
  const made = await tinyFilesystem(40 * MB);
  if (made.path === undefined) return context.skip(made.reason);
  await using disk = made;
  const a = await cluster.started('a');
  const b = await cluster.started('b', {}, { path: join(disk.path, 'b.db') });
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  await b.database.waitFor(await a.database.sync());
  writeFileSync(join(disk.path, 'ballast'), new Uint8Array(22 * MB));
  write(a.path, rows(10));
  const end = await a.database.sync();
  const isFull = (event: DatabaseEvent): boolean => event.type === 'warning' && event.code === 'SQLITE_DISK_FULL';
  await eventually(() => b.events.some(isFull), { what: 'a full disk' });
  expect(existsSync(`${b.path}-journal`)).toBe(false);
  expect(rowsOf(b.path, 'SELECT id FROM t')).toEqual([]);
  rmSync(join(disk.path, 'ballast'));
  await b.database.waitFor(end);
  expect(rowsOf(b.path, SUM)).toEqual(rowsOf(a.path, SUM));
  await b.database.stop();
}, 60_000);

test('a standby that is killed while it applies a large transaction has it after its restart', async () => {
  const [a, b] = await pair();
  write(a.path, rows(120));
  await b.database.waitFor(await a.database.sync());
  for (let round = 0; round < 3; round++) {
    write(a.path, 'UPDATE t SET x = randomblob(1000000)');
    const end = await a.database.sync();
    const began = await eventually(() => existsSync(`${b.path}-journal`), { what: 'a journal', timeoutMs: 30_000 });
    expect(began).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, round * 40));
    process.kill(b.pid(), 'SIGKILL');
    await b.event('failed');
    await eventually(() => b.database.status().role === 'standby', { what: 'a standby again', timeoutMs: 30_000 });
    await b.database.waitFor(end);
    expect(rowsOf(b.path, SUM)).toEqual(rowsOf(a.path, SUM));
    expect(integrity(b.path)).toBe('ok');
    b.events.length = 0;
  }
}, 180_000);
