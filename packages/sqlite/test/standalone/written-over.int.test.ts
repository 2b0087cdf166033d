/** A file into which something else than SQLite writes while it is being replicated. */
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { Primary, restore } from '../../src/index.ts';
import { rowsOf, write } from '../database/cluster.ts';

const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)';

let root: TemporaryDirectory;
let path: string;
let store: string;
beforeEach(async () => {
  root = await temporaryDirectory('written-over');
  path = join(root.path, 'a.db');
  store = join(root.path, 'log');
  write(path, 'PRAGMA journal_mode=WAL', TABLE);
});
afterEach(() => root.remove());

async function started(): Promise<Primary> {
  const primary = new Primary({ db: path, store, node: 'a', checkpointPages: 10 });
  onTestFinished(() => primary.stop());
  await primary.start();
  return primary;
}

const insert = (from: number, to: number): void => {
  for (let id = from; id <= to; id++) write(path, `INSERT INTO t VALUES (${id}, hex(randomblob(900)))`);
};

test.for(['another database', 'an older copy of it'])(
  '%s is written over it: nothing is acknowledged any more',
  async (what) => {
    insert(1, 8);
    const other = join(root.path, 'other.db');
    if (what === 'another database') write(other, TABLE, 'INSERT INTO t VALUES (99, 1)');
    const older = readFileSync(what === 'another database' ? other : path);
    if (what !== 'another database') write(path, 'UPDATE t SET x = hex(randomblob(900))');
    const primary = await started();
    const rows = rowsOf(path);
    const { position } = primary.status();
    writeFileSync(path, older);
    await expect(primary.sync()).rejects.toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
    await eventually(() => primary.failure !== undefined, { what: 'it stops by itself' });
    expect(primary.failure).toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
    const dest = join(root.path, 'restored.db');
    await restore({ store, dest, target: { txid: position.txid }, check: 'full' });
    expect(rowsOf(dest)).toEqual(rows);
  },
);

test('checkpoints of ours and of others, and another time stamp, are nothing', async () => {
  const primary = await started();
  for (let round = 0; round < 6; round++) {
    insert(round * 10 + 1, round * 10 + 10);
    write(path, 'PRAGMA wal_checkpoint(PASSIVE)');
    await primary.sync();
    const { atime, mtimeMs } = statSync(path);
    utimesSync(path, atime, new Date(mtimeMs + 5000 * round));
    await primary.sync();
  }
  expect(primary.failure).toBeUndefined();
  await primary.stop();
  const dest = join(root.path, 'restored.db');
  await restore({ store, dest, check: 'full' });
  expect(rowsOf(dest)).toEqual(rowsOf(path));
});
