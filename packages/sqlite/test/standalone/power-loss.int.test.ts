/** A primary without a platform whose machine went down: with synchronous=NORMAL the disk may have less than the log. */
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Position } from '@canopy/core';
import { type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { describeDivergences, openLog, Primary, restore } from '../../src/index.ts';
import { integrity, rowsOf, write } from '../database/cluster.ts';

let root: TemporaryDirectory;
let path: string;
let store: string;
beforeEach(async () => {
  root = await temporaryDirectory('power-loss');
  path = join(root.path, 'a.db');
  store = join(root.path, 'log');
});
afterEach(() => root.remove());

const ids = (to: number): object[] => Array.from({ length: to }, (_, i) => ({ id: i + 1 }));
const insert = (from: number, to: number): void => {
  const rows = Array.from({ length: to - from + 1 }, (_, i) => `INSERT INTO t VALUES (${from + i})`);
  write(path, 'PRAGMA synchronous=NORMAL', ...rows);
};

function primary(): Primary {
  const made = new Primary({ db: path, store, node: 'a', lockTimeout: '500ms' });
  onTestFinished(() => made.stop());
  return made;
}

/** Ten rows are acknowledged, five are on the disk when the machine comes up again. */
async function loseTheRest(): Promise<Position> {
  write(path, 'PRAGMA journal_mode=WAL', 'CREATE TABLE t(id INTEGER PRIMARY KEY)');
  const first = primary();
  await first.start();
  insert(1, 5);
  await first.sync();
  const onDisk = [path, `${path}-wal`];
  for (const file of onDisk) copyFileSync(file, `${file}.disk`);
  insert(6, 10);
  const acknowledged = await first.sync();
  const statePath = `${path}-canopy/state.json`;
  const state = JSON.parse(readFileSync(statePath, 'utf8')) as { boot?: string; inode: number };
  await first.stop();
  // In place, because it is the same file.
  for (const file of onDisk) writeFileSync(file, readFileSync(`${file}.disk`));
  expect(statSync(path).ino).toBe(state.inode);
  writeFileSync(statePath, JSON.stringify({ ...state, boot: 'the boot before' }));
  return acknowledged;
}

async function expectGoesOn(acknowledged: Position, rows: number): Promise<void> {
  const again = primary();
  const claimed = await again.start();
  expect(claimed.txid).toBeGreaterThan(acknowledged.txid);
  expect(rowsOf(path)).toEqual(ids(rows));
  insert(rows + 1, rows + 1);
  await again.sync();
  await restore({ store, dest: join(root.path, 'restored.db'), check: 'full' });
  expect(rowsOf(join(root.path, 'restored.db'))).toEqual(ids(rows + 1));
  expect(integrity(path)).toBe('ok');
  const { log, close } = await openLog(store);
  const images = (await log.entries()).filter(({ kind }) => kind === 'snapshot');
  await close();
  expect(
    images.map(({ maxTxid }) => maxTxid),
    'no image over what was acknowledged',
  ).toEqual([1]);
}

test('what was acknowledged comes back from the log; what merely lacks it is not kept aside', async () => {
  await expectGoesOn(await loseTheRest(), 10);
  expect(await describeDivergences(path)).toEqual([]);
});

test('what a program has committed since is kept aside, and the log goes on from its end', async () => {
  const acknowledged = await loseTheRest();
  write(path, 'INSERT INTO t VALUES (100)');
  await expectGoesOn(acknowledged, 10);
  // Its own row, and the five that it lacks: its WAL is gone, so it is compared with the end of the log.
  expect(await describeDivergences(path)).toMatchObject([{ rows: 6 }]);
});

test('a file that a program has open is not taken from under it', async () => {
  const acknowledged = await loseTheRest();
  const app = new DatabaseSync(path);
  app.exec('SELECT count(*) FROM t');
  try {
    await expect(primary().start()).rejects.toMatchObject({ code: 'SQLITE_DATABASE_BUSY' });
  } finally {
    app.close();
  }
  await expectGoesOn(acknowledged, 10);
});

test('other commits that end at the same place of the WAL do not pass for those that were lost', async () => {
  const acknowledged = await loseTheRest();
  const app = new DatabaseSync(path);
  app.exec('PRAGMA synchronous=NORMAL');
  try {
    // As many, as large, in the same generation.
    for (let id = 101; id <= 105; id++) app.exec(`INSERT INTO t VALUES (${id})`);
    await expect(primary().start()).rejects.toMatchObject({ code: 'SQLITE_DATABASE_BUSY' });
  } finally {
    app.close();
  }
  await expectGoesOn(acknowledged, 10);
  expect(await describeDivergences(path)).toMatchObject([{ rows: 10 }]);
});
