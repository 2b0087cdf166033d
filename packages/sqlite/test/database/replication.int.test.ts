/** The everyday life of a replicated database: followed, handed over and back, joined by a new node. */
import { existsSync } from 'node:fs';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, write } from './cluster.ts';
import { Writer } from './writer.ts';

const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, x TEXT)';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

test('two standbys follow while the primary is handed back and forth', async () => {
  const nodes = await Promise.all(['a', 'b', 'c'].map((name) => cluster.started(name)));
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  await a.promote(1);
  write(a.path, TABLE);
  for (let round = 0; round < 6; round++) {
    const primary = round % 2 === 0 ? a : b;
    for (let i = 0; i < 5; i++) write(primary.path, `INSERT INTO t(writer, x) VALUES ('${primary.name}', ${i})`);
    const shipped: number[] = [];
    await primary.database.demote({ onShipped: (position) => shipped.push(position.txid) });
    expect(shipped).toEqual([primary.database.status().position.txid]);
    const next = round % 2 === 0 ? b : a;
    await next.promote(2 + round);
    expect(rowsOf(next.path)).toHaveLength(5 * (round + 1));
  }
  const end = await a.database.sync();
  for (const node of nodes) await node.database.waitFor(end);
  const rows = rowsOf(a.path);
  for (const node of nodes) {
    expect(rowsOf(node.path)).toEqual(rows);
    expect(integrity(node.path)).toBe('ok');
    expect(node.database.status().divergences).toEqual([]);
  }
  const steps = b.events.map((event) => event.type).filter((type) => !['role_changed', 'warning'].includes(type));
  expect(steps.slice(0, 6)).toEqual([
    'bootstrap_progress',
    'promotion_started',
    'wal_catchup_completed',
    'epoch_claimed',
    'database_verified',
    'promotion_completed',
  ]);
});

test('nothing is missed of a writer in another process that runs checkpoints of its own', async () => {
  const a = await cluster.started('a', { checkpointPages: 50 });
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, TABLE);
  const writers = ['1', '2'].map((seed) => new Writer(a.path, { seed, checkpoints: true, pauseMs: 2, name: seed }));
  try {
    await eventually(() => writers.every((writer) => writer.committed.length > 400), { timeoutMs: 30_000 });
  } finally {
    for (const writer of writers) await writer.end();
  }
  const end = await a.database.sync();
  await b.database.waitFor(end);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  expect(integrity(b.path)).toBe('ok');
  expect(a.events.filter((event) => event.type === 'warning' && event.code === 'WAL_LOST')).toEqual([]);
});

test('a new node starts from a snapshot and the entries after it', async () => {
  const a = await cluster.started('a', { snapshotInterval: 1000 });
  await a.promote(1);
  write(a.path, TABLE);
  for (let i = 0; i < 20; i++) write(a.path, `INSERT INTO t(writer, x) VALUES ('a', hex(randomblob(3000)))`);
  const { position } = await a.event('snapshot_created');
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'after the snapshot')`);
  const end = await a.database.sync();
  expect(end.txid).toBeGreaterThan(position.txid);
  const late = cluster.node('late');
  const shown: unknown[] = [];
  const watching = (async () => {
    for await (const { type } of late.database.watch())
      if (type === 'bootstrap_progress') shown.push(late.database.status().bootstrap);
  })();
  await late.database.start();
  const progress = await late.event('bootstrap_progress');
  expect(progress.doneBytes).toBe(progress.totalBytes);
  expect(shown).toContainEqual(expect.objectContaining({ doneBytes: progress.doneBytes }));
  expect(late.database.status().bootstrap).toBeUndefined();
  await late.database.waitFor(end);
  expect(rowsOf(late.path)).toEqual(rowsOf(a.path));
  expect(late.database.status().lastSnapshotAt).toBeGreaterThan(0);
  await late.database.stop();
  await watching;
});

test('a database that was there before is replicated as it is', async () => {
  const a = cluster.node('a');
  write(a.path, 'PRAGMA journal_mode=DELETE', TABLE, `INSERT INTO t(writer, x) VALUES ('before', 'canopy')`);
  await a.database.start();
  await a.promote(1);
  const b = await cluster.started('b');
  expect(rowsOf(b.path)).toEqual([{ id: 1, writer: 'before', x: 'canopy' }]);
  expect(a.database.status().divergences).toEqual([]);
});

test('a large database that was there before goes into the log as a stream', async () => {
  const a = cluster.node('a');
  write(a.path, TABLE, `INSERT INTO t(writer, x) VALUES ('before', 'small')`, 'CREATE TABLE big(x)');
  for (let i = 0; i < 30; i++) write(a.path, 'INSERT INTO big VALUES (randomblob(1000000))');
  await a.database.start();
  await a.promote(1);
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'after')`);
  const end = await a.database.sync();
  const b = await cluster.started('b');
  await b.database.waitFor(end);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  const sums = 'SELECT count(*), sum(length(x)), min(hex(substr(x, 1, 8))) FROM big';
  expect(rowsOf(b.path, sums)).toEqual(rowsOf(a.path, sums));
  expect(integrity(b.path)).toBe('ok');
});

test('a standby that was stopped goes on where it was', async () => {
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, TABLE);
  await b.database.waitFor(await a.database.sync());
  await b.database.stop();
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'while b was away')`);
  const end = await a.database.sync();
  const again = await cluster.started('b-again', {}, { path: b.path });
  await again.database.waitFor(end);
  expect(rowsOf(again.path)).toHaveLength(1);
  expect(again.events.some((event) => event.type === 'bootstrap_progress')).toBe(false);
  expect(existsSync(`${b.path}-journal`)).toBe(false);
});

test('a promotion under an epoch that is not new is refused and leaves a standby', async () => {
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(5);
  write(a.path, TABLE);
  const end = await a.database.sync();
  // It waited with a file of its own until the log began; only what follows can be promoted.
  await b.database.waitFor(end);
  await expect(b.promote(5)).rejects.toMatchObject({ code: 'SQLITE_EPOCH_STALE' });
  expect(b.database.status().role).toBe('standby');
  await expect(b.database.sync()).rejects.toMatchObject({ code: 'SQLITE_NOT_PRIMARY' });
});
