/** What is too large to be held: transactions as large as they come, and a WAL that nobody lets begin anew. */
import { readFileSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, type TestNode, write } from './cluster.ts';
import { Writer } from './writer.ts';

const MB = 1024 * 1024;

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

async function primary(options: Parameters<TestCluster['node']>[1] = {}): Promise<TestNode> {
  const node = await cluster.started('a', options);
  await node.promote(1);
  write(node.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer, x)');
  await node.database.sync();
  return node;
}

/** The most memory of its own that the process ever had. */
const peakMb = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

const walMb = (node: TestNode): number => statSync(`${node.path}-wal`).size / MB;

test('a transaction of 300 MB is shipped without being held in memory', async () => {
  const a = await primary();
  const before = peakMb(a.pid());
  const rows =
    'WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO t(x) SELECT randomblob(1e6) FROM n';
  write(a.path, rows);
  write(a.path, "INSERT INTO t(x) VALUES('after')");
  const position = await a.database.sync();
  expect(walMb(a)).toBeGreaterThan(280);
  // Garbage that is not collected yet counts as well; held in memory it would be several times the transaction.
  expect(peakMb(a.pid()) - before).toBeLessThan(200);
  const b = await cluster.started('b');
  await b.database.waitFor(position);
  const sql = 'SELECT count(*) AS n, sum(length(x)) AS bytes, max(x) AS last FROM t';
  expect(rowsOf(b.path, sql)).toEqual(rowsOf(a.path, sql));
  expect(integrity(b.path)).toBe('ok');
}, 120_000);

test('a writer that never pauses, with readers that overlap without end, does not make the WAL grow', async () => {
  const a = await primary({ maxWal: MB });
  await using writer = new Writer(a.path);
  const readers = [0, 1, 2].map(() => new DatabaseSync(a.path, { timeout: 5000 }));
  try {
    for (const reader of readers) reader.exec('BEGIN; SELECT count(*) FROM t');
    let largest = 0;
    let before = 0;
    // On a busy machine it takes its time; one that is shut out for good never gets on.
    for (let turn = 0; turn < 80 || (turn < 600 && writer.committed.length <= before + 100); turn++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const reader = readers[turn % readers.length] as DatabaseSync;
      reader.exec('COMMIT; BEGIN; SELECT count(*) FROM t');
      largest = Math.max(largest, walMb(a));
      if (turn === 30) before = writer.committed.length;
    }
    // The hard limit of 4 MB, and what a fast writer adds between two looks. Without bounds it would be hundreds.
    expect(largest).toBeLessThan(30);
    expect(writer.committed.length).toBeGreaterThan(before + 100);
  } finally {
    for (const reader of readers) reader.close();
  }
  await writer.end();
  const b = await cluster.started('b');
  await b.database.waitFor(await a.database.sync());
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
}, 90_000);

test('a reader that never ends stops the writers at the hard limit, not the disk; its end lets them go on', async () => {
  const a = await primary({ maxWal: MB });
  const reader = new DatabaseSync(a.path);
  const app = new DatabaseSync(a.path, { timeout: 500 });
  try {
    reader.exec('BEGIN');
    reader.prepare('SELECT count(*) FROM t').get();
    const insert = (): void => app.exec('INSERT INTO t(x) VALUES (randomblob(500000))');
    const isFull = (): boolean => a.events.some((event) => event.type === 'warning' && event.code === 'WAL_FULL');
    const tryInsert = (): boolean => {
      try {
        insert();
        return true;
      } catch (error) {
        expect(error).toMatchObject({ errcode: 5 });
        return false;
      }
    };
    for (let i = 0; i < 100 && !isFull(); i++) {
      tryInsert();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(isFull()).toBe(true);
    await eventually(() => !tryInsert(), { what: 'a refused write' });
    // The hard limit of 4 MB, and what was written before the first look; without a bound it would go on.
    expect(walMb(a)).toBeLessThan(30);
    await eventually(() => a.database.status().problem?.includes('kept out'), { what: 'a problem' });
    // Everything that was committed is in the log all the same.
    await a.database.sync();
    reader.exec('COMMIT');
    await eventually(tryInsert, { what: 'a write', timeoutMs: 30_000 });
    await eventually(() => a.database.status().problem === undefined, { what: 'no problem left', timeoutMs: 30_000 });
  } finally {
    reader.close();
    app.close();
  }
}, 90_000);
