/**
 * Applications that are killed inside COMMIT: what they leave in the WAL is no commit, and what is committed after them is
 * in the log when sync() says so.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { seededRandom } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, write } from './cluster.ts';

const ROUNDS = 15;
const OPEN = `const {DatabaseSync:D}=require('node:sqlite');const d=new D(process.argv[1],{timeout:5000});`;

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

/** Runs statements in a process of its own, which is killed `afterMs` after it has begun (or ended whatever it does). */
async function killed(path: string, script: string, afterMs: number): Promise<void> {
  const app = spawn(process.execPath, ['-e', `${OPEN}${script}`, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(app, 'exit');
  try {
    await Promise.race([once(app.stdout, 'data'), ended]);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
  } finally {
    app.kill('SIGKILL');
    await ended;
  }
}

test('rows committed after a writer that died in COMMIT are in the log when sync() resolves', async () => {
  const seed = process.env.CANOPY_SEED ?? String(process.pid);
  const random = seededRandom(seed);
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)', 'CREATE TABLE u(id INTEGER PRIMARY KEY)');
  for (let i = 0; i < 10; i++) write(a.path, `INSERT INTO t(x) VALUES('${'x'.repeat(3000)}')`);
  const rewrite = `d.exec('PRAGMA synchronous=FULL');console.log('up');
    for(let i=0;;i++)d.exec("UPDATE t SET x='"+String(i%10).repeat(3000)+"'")`;
  const connection = new DatabaseSync(a.path, { timeout: 5000 });
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      await killed(a.path, rewrite, 20 + random.int(60));
      await a.database.sync();
      connection.exec(`INSERT INTO u VALUES(${round})`);
      await b.database.waitFor(await a.database.sync());
      expect(rowsOf(b.path, 'SELECT max(id) AS id FROM u'), `seed ${seed}`).toEqual([{ id: round }]);
    }
    expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
    expect(integrity(b.path)).toBe('ok');
    expect(a.events.filter((event) => event.type === 'warning' && event.code === 'WAL_LOST')).toEqual([]);
  } finally {
    connection.close();
  }
}, 60_000);

test('what an application wrote and closed, and wrote again, while nobody replicated it is shipped', async () => {
  const a = await cluster.started('a');
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY)', 'INSERT INTO t VALUES(1)');
  await a.database.sync();
  await a.database.demote();
  // The last entry is a claim, which names no frames.
  await a.promote(2);
  const pid = a.pid();
  process.kill(pid, 'SIGKILL');
  await a.event('failed');
  await killed(a.path, "d.exec('INSERT INTO t VALUES(2)');d.close();console.log('up')", 0);
  await killed(a.path, "d.exec('CREATE TABLE u(id)');console.log('up');setInterval(()=>{},1000)", 0);
  await eventually(() => a.pid() !== pid && a.database.status().role === 'standby', { what: 'a standby again' });
  await a.promote(3);
  await b.database.waitFor(await a.database.sync());
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  expect(rowsOf(b.path)).toHaveLength(2);
});

test('sync() after the file was replaced is refused, not resolved', async () => {
  const a = await cluster.started('a', { pollInterval: 10_000 });
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY)');
  await a.database.sync();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const other = join(cluster.directory.path, 'other.db');
  write(other, 'CREATE TABLE t(id INTEGER PRIMARY KEY)', 'INSERT INTO t VALUES(7)');
  renameSync(other, a.path);
  await expect(a.database.sync()).rejects.toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
});

test('a WAL that grows while the log can not be reached is told of', async () => {
  const a = await cluster.started('a', { maxWal: 1024 * 1024 });
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  await a.database.sync();
  await cluster.nats.server.kill();
  const connection = new DatabaseSync(a.path, { timeout: 5000 });
  try {
    connection.exec('INSERT INTO t(x) VALUES (1)');
    for (let i = 0; i < 20; i++) connection.exec('INSERT INTO t(x) VALUES (randomblob(100000))');
    const large = (): boolean => a.events.some((event) => event.type === 'warning' && event.code === 'WAL_LARGE');
    await eventually(large, { what: 'a warning', timeoutMs: 30_000 });
    await eventually(() => a.database.status().problem?.includes('the WAL has'), { what: 'a problem' });
  } finally {
    connection.close();
  }
}, 60_000);
