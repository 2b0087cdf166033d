/** Databases that share a process: each lives and ends by itself, and all of them survive the death of what they share. */
import { linkSync } from 'node:fs';
import { identifyProcess, isRunning } from '@canopy/core';
import { eventually, spawnNode } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { rowsOf, TestCluster, type TestNode, write } from './cluster.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

const SHARED = { process: 'shared' } as const;
const start = (name: string, app: string): Promise<TestNode> => cluster.started(name, SHARED, { app });
const role = (node: TestNode, wanted: string): Promise<unknown> =>
  eventually(() => node.database.status().role === wanted, { what: `${node.name} is ${wanted}`, timeoutMs: 30_000 });
/** Not merely a pid that nobody has reaped yet. */
const processExists = (pid: number): boolean => {
  const id = identifyProcess(pid);
  return id !== undefined && isRunning(id);
};
const gone = (pid: number): Promise<unknown> =>
  eventually(() => !processExists(pid), { what: `process ${pid} is gone`, timeoutMs: 20_000 });

async function primaryWithRow(name: string, app: string): Promise<TestNode> {
  const node = await start(name, app);
  await node.promote(1);
  write(node.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)', `INSERT INTO t VALUES (1, '${name}')`);
  await node.database.sync();
  return node;
}

test('one process serves all; they change roles, stop one by one, and the last one ends it', async () => {
  const a = await primaryWithRow('a', 'one');
  // A primary and a standby of the same app, and one of another.
  const [b, c] = await Promise.all([start('b', 'one'), primaryWithRow('c', 'two')]);
  const pid = a.pid();
  expect([b.pid(), c.pid()]).toEqual([pid, pid]);
  await b.database.waitFor(await a.database.sync());
  expect(rowsOf(b.path)).toEqual([{ id: 1, x: 'a' }]);
  await a.database.demote();
  await b.promote(2);
  write(b.path, `INSERT INTO t VALUES (2, 'b')`);
  await a.database.waitFor(await b.database.sync());
  expect(rowsOf(a.path)).toHaveLength(2);
  // A call that fails, and a database that stops, are nobody else's business.
  await expect(c.database.promote({ epoch: 0 as never, signal: AbortSignal.timeout(5000) })).rejects.toThrow();
  await a.database.stop();
  expect([b.database.status().role, c.database.status().role]).toEqual(['primary', 'primary']);
  write(b.path, `INSERT INTO t VALUES (3, 'b')`);
  await b.database.sync();
  // The place is free again, in the same process.
  const again = await cluster.started('a2', SHARED, { app: 'one', path: a.path });
  expect(again.pid()).toBe(pid);
  await again.database.waitFor(await b.database.sync());
  expect(rowsOf(a.path)).toHaveLength(3);
  await Promise.all([again, b].map(({ database }) => database.stop()));
  expect(processExists(pid)).toBe(true);
  await c.database.stop();
  expect(processExists(pid)).toBe(false);
  const next = await start('d', 'three');
  expect(next.pid()).not.toBe(pid);
});

test('its death is told to each; they share a new one, and nothing acknowledged is lost', async () => {
  const [a, b, c] = [await primaryWithRow('a', 'one'), await primaryWithRow('b', 'two'), await start('c', 'one')];
  const nodes = [a, b, c];
  const pid = a.pid();
  const pending = expect(c.database.waitFor({ epoch: 1, txid: 1000 } as never)).rejects.toMatchObject({
    code: 'SQLITE_PROCESS_DIED',
  });
  process.kill(pid, 'SIGKILL');
  await pending;
  for (const node of nodes) expect((await node.event('failed')).error).toMatchObject({ code: 'SQLITE_PROCESS_DIED' });
  await Promise.all(nodes.map((node) => role(node, 'standby')));
  expect(new Set(nodes.map((node) => node.pid())).size).toBe(1);
  expect(a.pid()).not.toBe(pid);
  await Promise.all([c.promote(2), b.promote(2)]);
  expect([rowsOf(c.path), rowsOf(b.path)]).toEqual([[{ id: 1, x: 'a' }], [{ id: 1, x: 'b' }]]);
});

test('it ends with its parent', async () => {
  const paths = ['x', 'y'].map((name) => `${cluster.directory.path}/${name}.db`);
  const { connection } = cluster;
  await using parent = await spawnNode(new URL('shared-parent-program.ts', import.meta.url), [
    JSON.stringify({ paths, connection }),
  ]);
  const pids = (await parent.line(/^pids /)).slice('pids '.length).split(' ').map(Number);
  expect(pids).toHaveLength(1);
  const pid = pids[0] as number;
  // Committed, and not asked about: it is shipped before the process ends.
  write(paths[0] as string, 'CREATE TABLE t(id INTEGER PRIMARY KEY)', 'INSERT INTO t VALUES (7)');
  process.kill(parent.pid, 'SIGKILL');
  await gone(pid);
  const taken = await start('x2', 'app0');
  await taken.promote(2);
  expect(rowsOf(taken.path)).toEqual([{ id: 7 }]);
});

test('no file is opened twice, under whatever name', async () => {
  const a = await primaryWithRow('a', 'one');
  const link = `${cluster.directory.path}/link.db`;
  linkSync(a.path, link);
  const refused = { code: 'SQLITE_IN_USE' };
  await expect(cluster.started('l', SHARED, { app: 'two', path: link })).rejects.toMatchObject(refused);
  await expect(cluster.started('s', SHARED, { app: 'two', path: a.path })).rejects.toMatchObject(refused);
  write(a.path, `INSERT INTO t VALUES (2, 'still ours')`);
  await a.database.sync();
  expect(a.database.status()).toMatchObject({ role: 'primary', problem: undefined });
});
