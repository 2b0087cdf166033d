/** What can be wrong around a database: each has its code, says what to do, and loses nothing. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type DatabaseEvent, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually, tinyFilesystem } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, write } from './cluster.ts';

const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, x TEXT)';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

const place = (name: string): string => join(cluster.directory.path, name);

async function deleteLog(): Promise<void> {
  const session = await connectNats(cluster.connection, { name: 'test', env: systemEnv() });
  try {
    await session.bus.request('$JS.API.STREAM.DELETE.OBJ_test_app_wal', new Uint8Array());
  } finally {
    await session.close();
  }
}

test('a file that is not a database is refused and left alone', async () => {
  const text = 'not a database at all, but longer than the header of one '.repeat(10);
  writeFileSync(place('a.db'), text);
  await expect(cluster.node('a').database.start()).rejects.toMatchObject({ code: 'SQLITE_NOT_A_DATABASE' });
  expect(readFileSync(place('a.db'), 'utf8')).toBe(text);
  mkdirSync(place('d.db'));
  await expect(cluster.node('d').database.start()).rejects.toMatchObject({ code: 'SQLITE_NOT_A_DATABASE' });
});

test('a database that is open by another Canopy process is refused, and the holder is named', async () => {
  const first = await cluster.started('first', {}, { path: place('one.db') });
  const second = cluster.node('second', {}, { path: place('one.db') });
  await expect(second.database.start()).rejects.toMatchObject({
    code: 'SQLITE_IN_USE',
    fields: { pid: first.pid(), node: 'first' },
  });
  expect(second.database.status().role).toBe('failed');
  await first.promote(1);
});

test('a directory in which nothing can be written is refused, for root as well', async () => {
  const node = cluster.node('a', {}, { path: '/proc/canopy/a.db' });
  await expect(node.database.start()).rejects.toMatchObject({ code: 'SQLITE_UNWRITABLE' });
});

test('a directory that cannot be made is refused', async () => {
  writeFileSync(place('file'), '');
  const node = cluster.node('a', {}, { path: join(place('file'), 'a.db') });
  await expect(node.database.start()).rejects.toMatchObject({ code: 'SQLITE_UNWRITABLE' });
});

test('a log that is gone is an error for a node that has replicated before, not an empty history', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, TABLE);
  await a.database.sync();
  await a.database.stop();
  await deleteLog();
  const again = cluster.node('a', {}, { path: a.path });
  await expect(again.database.start()).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
  expect(rowsOf(a.path)).toEqual([]);
});

test('a log that is deleted under a primary fails sync() and says why', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, TABLE);
  await a.database.sync();
  await deleteLog();
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'nowhere to go')`);
  await expect(a.database.sync()).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
  expect(a.database.status().problem).toContain('does not take transactions');
  expect(rowsOf(a.path)).toHaveLength(1);
});

test('a log that ends before the database does is refused', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, TABLE);
  await a.database.sync();
  await a.database.stop();
  const elsewhere = cluster.node('a', {}, { path: a.path, app: 'other' });
  const seed = await cluster.node('seed', {}, { app: 'other' });
  await seed.database.start();
  await expect(elsewhere.database.start()).rejects.toMatchObject({ code: 'SQLITE_LOG_BEHIND' });
});

test('a damaged database is not promoted, and not a byte of it goes into the log', async () => {
  write(place('a.db'), TABLE);
  for (let i = 0; i < 20; i++) write(place('a.db'), `INSERT INTO t(writer, x) VALUES ('a', hex(randomblob(2000)))`);
  const bytes = readFileSync(place('a.db'));
  bytes.fill(0xee, 2 * 4096 + 8, 2 * 4096 + 2000);
  bytes.fill(0xee, 4096, 4096 + 100);
  writeFileSync(place('a.db'), bytes);
  const a = await cluster.started('a');
  await expect(a.promote(1)).rejects.toMatchObject({ code: 'SQLITE_CORRUPT' });
  expect(a.database.status()).toMatchObject({ role: 'standby', position: { txid: 0 } });
});

test('data that were there before a node joins a log are kept aside', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, TABLE, `INSERT INTO t(writer, x) VALUES ('a', 'the log')`);
  await a.database.sync();
  write(place('b.db'), TABLE, `INSERT INTO t(writer, x) VALUES ('b', 'foreign')`);
  const b = await cluster.started('b');
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  const { directory, rows } = await b.event('divergence_kept');
  expect(rows).toBe(1);
  expect(rowsOf(join(directory, 'database.sqlite'))).toEqual([{ id: 1, writer: 'b', x: 'foreign' }]);
});

test('a standby that another program wrote to is not promoted as if nothing had happened', async () => {
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
  await b.database.waitFor(await a.database.sync());
  await a.database.demote();
  write(b.path, 'INSERT INTO t VALUES (666)');
  await expect(b.promote(2)).rejects.toMatchObject({ code: 'SQLITE_REPLICA_MODIFIED' });
  await b.event('divergence_kept');
  await eventually(() => b.database.status().role === 'standby', { what: 'a standby again' });
  await b.promote(3);
  expect(rowsOf(b.path)).toEqual([{ id: 1 }]);
});

test('a standby that another program wrote to is kept aside and made anew', async () => {
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, TABLE);
  await b.database.waitFor(await a.database.sync());
  write(b.path, `INSERT INTO t(writer, x) VALUES ('b', 'must not')`);
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'may')`);
  const end = await a.database.sync();
  const { rows } = await b.event('divergence_kept');
  expect(rows).toBe(1);
  expect(b.events.some((event) => event.type === 'warning' && event.code === 'SQLITE_REPLICA_MODIFIED')).toBe(true);
  await b.database.waitFor(end);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
});

test("a standby's file that is deleted under it is made anew", async () => {
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, TABLE);
  await b.database.waitFor(await a.database.sync());
  rmSync(b.path);
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', 'more')`);
  await b.database.waitFor(await a.database.sync());
  await eventually(() => existsSync(b.path));
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
});

test("a primary's file that is replaced under it ends its role and is not shipped", async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, TABLE, `INSERT INTO t(writer, x) VALUES ('a', 'mine')`);
  const end = await a.database.sync();
  write(place('other.db'), TABLE);
  renameSync(place('other.db'), a.path);
  const failed = await a.event('failed');
  expect(failed.error).toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
  await expect(a.database.sync()).rejects.toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
  const b = await cluster.started('b');
  expect(b.database.status().position).toEqual(end);
  expect(rowsOf(b.path)).toHaveLength(1);
  // The node steps down; what lies there now is nobody's history.
  await a.database.demote();
  expect(rowsOf(a.path)).toEqual(rowsOf(b.path));
  expect(a.database.status().divergences).toHaveLength(1);
});

test('a standby whose disk is full says so, stays whole, and goes on when there is space', async (context) => {
  const made = await tinyFilesystem(2 * 1024 * 1024);
  if (made.path === undefined) return context.skip(made.reason);
  await using disk = made;
  const a = await cluster.started('a');
  const b = await cluster.started('b', { stallAfter: 500 }, { path: join(disk.path, 'b.db') });
  await a.promote(1);
  write(a.path, TABLE);
  await b.database.waitFor(await a.database.sync());
  writeFileSync(join(disk.path, 'ballast'), new Uint8Array(1_500_000));
  write(a.path, `INSERT INTO t(writer, x) VALUES ('a', hex(randomblob(400000)))`);
  const end = await a.database.sync();
  const isFull = (event: DatabaseEvent): boolean => event.type === 'warning' && event.code === 'SQLITE_DISK_FULL';
  await eventually(() => b.events.some(isFull));
  await b.event('stalled');
  expect(b.database.status().problem).toContain('disk');
  expect(b.database.status().lag.tx).toBe(1);
  expect(rowsOf(b.path)).toEqual([]);
  expect(integrity(b.path)).toBe('ok');
  rmSync(join(disk.path, 'ballast'));
  await b.database.waitFor(end);
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  await b.database.stop();
});

test('a primary whose disk is full ships what could be committed, and goes on', async (context) => {
  const made = await tinyFilesystem(3 * 1024 * 1024);
  if (made.path === undefined) return context.skip(made.reason);
  await using disk = made;
  const a = await cluster.started('a', {}, { path: join(disk.path, 'a.db') });
  await a.promote(1);
  write(a.path, TABLE, `INSERT INTO t(writer, x) VALUES ('a', 'fits')`);
  const application = new DatabaseSync(a.path, { timeout: 5000 });
  writeFileSync(join(disk.path, 'ballast'), new Uint8Array(2_500_000));
  const insert = (): void => application.exec(`INSERT INTO t(writer, x) VALUES ('a', hex(randomblob(400000)))`);
  expect(insert).toThrow(/full/);
  await a.database.sync();
  rmSync(join(disk.path, 'ballast'));
  insert();
  const end = await a.database.sync();
  const b = await cluster.started('b');
  expect(b.database.status().position).toEqual(end);
  expect(rowsOf(b.path)).toHaveLength(2);
  application.close();
  await a.database.stop();
});
