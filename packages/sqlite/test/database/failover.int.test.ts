/** Deaths and freezes: nothing that was acknowledged is lost, nothing that was committed is thrown away. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, type TestNode, write } from './cluster.ts';
import { Writer } from './writer.ts';

const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, x TEXT)';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

const standsBy = (node: TestNode): Promise<unknown> =>
  eventually(() => node.database.status().role === 'standby', { what: `${node.name} is a standby`, timeoutMs: 20_000 });

async function pair(): Promise<[TestNode, TestNode]> {
  const [a, b] = await Promise.all([cluster.started('a', { lockTimeout: 3000 }), cluster.started('b')]);
  await a.promote(1);
  write(a.path, TABLE);
  await b.database.waitFor(await a.database.sync());
  return [a, b];
}

test('the database process is killed: the successor has every row that sync() acknowledged', async () => {
  const [a, b] = await pair();
  await using writer = new Writer(a.path, { pauseMs: 2 });
  let acknowledged = 0;
  for (let i = 0; i < 30; i++) {
    await eventually(() => writer.committed.length > i * 3);
    const committed = writer.committed.at(-1) as number;
    await a.database.sync();
    acknowledged = committed;
  }
  process.kill(a.pid(), 'SIGKILL');
  await a.event('failed');
  await eventually(() => (writer.committed.at(-1) as number) > acknowledged + 10);
  await writer.end('SIGKILL');
  await b.promote(2);
  const ids = rowsOf(b.path, 'SELECT max(id) AS last FROM t') as { last: number }[];
  expect(ids[0]?.last).toBeGreaterThanOrEqual(acknowledged);
  write(b.path, `INSERT INTO t(writer, x) VALUES ('b', 'goes on')`);
  const end = await b.database.sync();
  // What the killed one's application had committed beyond the log is kept aside, then it follows.
  const { directory, rows } = await a.event('divergence_kept');
  expect(rows).toBeGreaterThan(0);
  await standsBy(a);
  await a.database.waitFor(end);
  expect(rowsOf(a.path)).toEqual(rowsOf(b.path));
  expect(integrity(join(directory, 'database.sqlite'))).toBe('ok');
  expect(a.database.status().divergences).toEqual([directory]);
});

test('a primary that slept is fenced when it wakes, and its commits are kept and listed', async () => {
  const [a, b] = await pair();
  write(
    a.path,
    `INSERT INTO t(writer, x) VALUES ('a', 'shared')`,
    `INSERT INTO t(writer, x) VALUES ('a', 'to change')`,
  );
  await b.database.waitFor(await a.database.sync());
  process.kill(a.pid(), 'SIGSTOP');
  await b.promote(2);
  write(b.path, `INSERT INTO t(writer, x) VALUES ('b', 'the winner')`);
  // The connection stays open: its close would wait for the sleeper's locks to go.
  const application = new DatabaseSync(a.path, { timeout: 5000 });
  application.exec(`INSERT INTO t(writer, x) VALUES ('a', 'too late')`);
  application.exec(`UPDATE t SET x = 'changed' WHERE x = 'to change'`);
  application.exec(`DELETE FROM t WHERE x = 'shared'`);
  process.kill(a.pid(), 'SIGCONT');
  const fenced = await a.event('fenced');
  expect(fenced.epoch).toBe(2);
  await expect(a.database.sync()).rejects.toMatchObject({ code: 'SQLITE_FENCED' });
  expect(a.database.status().role).toBe('primary');
  application.close();
  await a.database.demote();
  const { directory, rows } = await a.event('divergence_kept');
  expect(rows).toBe(3);
  const changes = readFileSync(join(directory, 'changes.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(changes.map((change) => change.change).sort()).toEqual(['delete', 'insert', 'update']);
  expect(changes.find((change) => change.change === 'update')).toMatchObject({
    row: { x: 'changed' },
    before: { x: 'to change' },
  });
  expect(readFileSync(join(directory, 'README.txt'), 'utf8')).toContain('Rows that differ: 3');
  await a.database.waitFor(await b.database.sync());
  expect(rowsOf(a.path)).toEqual(rowsOf(b.path));
});

test('a primary that slept and wrote nothing becomes a standby in place', async () => {
  const [a, b] = await pair();
  process.kill(a.pid(), 'SIGSTOP');
  await b.promote(2);
  process.kill(a.pid(), 'SIGCONT');
  await a.event('fenced');
  await a.database.demote();
  write(b.path, `INSERT INTO t(writer, x) VALUES ('b', 'new')`);
  await a.database.waitFor(await b.database.sync());
  expect(rowsOf(a.path)).toEqual(rowsOf(b.path));
  expect(a.database.status().divergences).toEqual([]);
  expect(a.events.filter((event) => event.type === 'bootstrap_progress')).toEqual([]);
});

for (const how of ['SIGKILL', 'SIGTERM'] as const)
  test(`a single node keeps what it committed while its database process was gone (application ended by ${how})`, async () => {
    const a = await cluster.started('a');
    await a.promote(1);
    write(a.path, TABLE);
    await a.database.sync();
    const writer = new Writer(a.path, { pauseMs: 1 });
    try {
      await eventually(() => writer.committed.length > 20);
      process.kill(a.pid(), 'SIGKILL');
      // Only then its locks are gone, and the application's close is the last one.
      await a.event('failed');
      const before = writer.committed.length;
      await eventually(() => writer.committed.length > before + 20);
    } finally {
      await writer.end(how);
    }
    await standsBy(a);
    expect(existsSync(`${a.path}-wal`)).toBe(how === 'SIGKILL');
    await a.promote(2);
    const rows = rowsOf(a.path);
    expect(rows.length).toBeGreaterThan(40);
    await a.database.sync();
    expect(a.database.status().divergences).toEqual([]);
    const b = await cluster.started('b');
    expect(rowsOf(b.path)).toEqual(rows);
  });

test('the log is taken from a primary that keeps shipping', async () => {
  const [a, b] = await pair();
  await using writer = new Writer(a.path, {});
  await eventually(() => writer.committed.length > 50);
  await a.database.sync();
  const { txid } = await b.promote(2);
  const { position } = await a.event('fenced');
  await writer.end('SIGKILL');
  expect(position.txid).toBeGreaterThanOrEqual(txid - 1);
  expect(rowsOf(b.path).length).toBeGreaterThan(0);
  await a.database.demote();
  write(b.path, `INSERT INTO t(writer, x) VALUES ('b', 'after')`);
  await a.database.waitFor(await b.database.sync());
  expect(rowsOf(a.path)).toEqual(rowsOf(b.path));
});

test('a stop and a start of a former primary loses nothing and copies nothing', async () => {
  const [a, b] = await pair();
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'before the stop')`);
  await a.database.stop();
  await b.promote(2);
  expect(rowsOf(b.path)).toHaveLength(1);
  write(b.path, `INSERT INTO t(writer, x) VALUES ('b', 'after')`);
  const again = await cluster.started('a2', {}, { path: a.path });
  await again.database.waitFor(await b.database.sync());
  expect(rowsOf(again.path)).toEqual(rowsOf(b.path));
  expect(again.events.filter((event) => event.type === 'bootstrap_progress')).toEqual([]);
});

test('SIGTERM to the database process ships what is committed before it ends', async () => {
  const [a, b] = await pair();
  process.kill(a.pid(), 'SIGSTOP');
  const application = new DatabaseSync(a.path, { timeout: 5000 });
  application.exec(`INSERT INTO t(writer, x) VALUES ('a', 'last words')`);
  process.kill(a.pid(), 'SIGTERM');
  process.kill(a.pid(), 'SIGCONT');
  await a.event('failed');
  await b.promote(2);
  expect(rowsOf(b.path)).toHaveLength(1);
  application.close();
});
