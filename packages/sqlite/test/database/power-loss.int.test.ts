/** A primary whose machine went down: its application wrote with synchronous=NORMAL, so the disk may have less than the log. */
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { integrity, rowsOf, TestCluster, write } from './cluster.ts';

test('what was acknowledged is there after a loss of power, though the disk had lost it', async () => {
  const cluster = await TestCluster.start();
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const first = await cluster.started('a');
  await first.promote(1);
  const { path } = first;
  const insert = (from: number, to: number): void => {
    const rows = Array.from({ length: to - from + 1 }, (_, i) => `INSERT INTO t VALUES (${from + i})`);
    write(path, 'PRAGMA synchronous=NORMAL', ...rows);
  };
  write(path, 'CREATE TABLE t(id INTEGER PRIMARY KEY)');
  insert(1, 5);
  await first.database.sync();
  // What reached the disk: SQLite flushes a WAL only when it begins it anew.
  const onDisk = [path, `${path}-wal`];
  for (const file of onDisk) copyFileSync(file, `${file}.disk`);
  insert(6, 10);
  const acknowledged = await first.database.sync();
  const statePath = `${path}-canopy/state.json`;
  const state = JSON.parse(readFileSync(statePath, 'utf8')) as { role: string; boot?: string; inode: number };
  expect(state).toMatchObject({ role: 'primary', boot: expect.stringMatching(/./) });
  await first.database.stop();

  // In place, because it is the same file.
  for (const file of onDisk) writeFileSync(file, readFileSync(`${file}.disk`));
  expect(statSync(path).ino).toBe(state.inode);
  writeFileSync(statePath, JSON.stringify({ ...state, boot: 'the boot before' }));
  const again = cluster.node('a', {}, { path });
  await again.database.start();
  const claimed = await again.promote(2);
  expect(claimed.txid).toBeGreaterThan(acknowledged.txid);
  expect(rowsOf(path)).toEqual(Array.from({ length: 10 }, (_, i) => ({ id: i + 1 })));
  write(path, 'INSERT INTO t VALUES (11)');
  const end = await again.database.sync();
  const other = await cluster.started('b');
  await other.database.waitFor(end);
  expect(rowsOf(other.path)).toHaveLength(11);
  expect(integrity(other.path)).toBe('ok');
}, 60_000);
