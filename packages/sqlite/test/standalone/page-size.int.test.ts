/** A database whose page size was changed while nobody replicated it: the log goes on, and everything that reads it follows. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Position } from '@canopy/core';
import { eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { openLog, openSnapshots, Primary, Replica, restore, verify } from '../../src/index.ts';
import { type LogEntry, SNAPSHOT_LEVEL } from '../../src/log/names.ts';
import { integrity, rowsOf, write } from '../database/cluster.ts';

let root: TemporaryDirectory;
let path: string;
let store: string;
beforeEach(async () => {
  root = await temporaryDirectory('page-size');
  path = join(root.path, 'a.db');
  store = join(root.path, 'log');
  write(path, 'PRAGMA journal_mode=WAL', 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
});
afterEach(() => root.remove());

function primary(options: object = {}): Primary {
  const made = new Primary({ db: path, store, node: 'a', ...options });
  onTestFinished(() => made.stop());
  return made;
}

function copy(name: string): Replica {
  const made = new Replica({ db: join(root.path, name), store, node: name });
  onTestFinished(() => made.stop());
  return made;
}

function warnings(of: Primary): string[] {
  const codes: string[] = [];
  void (async () => {
    for await (const event of of.watch()) if (event.type === 'warning') codes.push(event.code);
  })();
  return codes;
}

const insert = (from: number, to: number): void => {
  for (let id = from; id <= to; id++) write(path, `INSERT INTO t VALUES (${id}, hex(randomblob(900)))`);
};

function changePageSize(bytes: number): void {
  write(path, 'PRAGMA journal_mode=DELETE', `PRAGMA page_size=${bytes}`, 'VACUUM', 'PRAGMA journal_mode=WAL');
  expect(pageSizeOf(path)).toBe(bytes);
}

function pageSizeOf(file: string): number {
  const connection = new DatabaseSync(file, { timeout: 5000 });
  try {
    return Number(connection.prepare('PRAGMA page_size').get()?.page_size);
  } finally {
    connection.close();
  }
}

async function entries(): Promise<LogEntry[]> {
  const { log, close } = await openLog(store);
  try {
    return await log.all();
  } finally {
    await close();
  }
}

async function expectRestored(rows: unknown[], pageSize: number, target?: { txid: number }): Promise<void> {
  const dest = join(root.path, 'restored.db');
  await restore({ store, dest, check: 'full', overwrite: true, ...(target && { target }) });
  expect(rowsOf(dest)).toEqual(rows);
  expect(pageSizeOf(dest)).toBe(pageSize);
}

async function startedWithRows(): Promise<{ at: Position; rows: unknown[] }> {
  const first = primary();
  await first.start();
  insert(1, 5);
  const at = await first.sync();
  await first.stop();
  return { at, rows: rowsOf(path) };
}

test.for([8192, 1024])('to %i bytes: copies, restores, proofs and snapshots go on from the claim', async (bytes) => {
  const following = copy('b.db');
  const { at, rows } = await startedWithRows();
  await following.start();
  await following.waitFor(at);
  changePageSize(bytes);
  // No image of its own level will do it: the one among the transactions must.
  const again = primary();
  const warned = warnings(again);
  const claimed = await again.start();
  await eventually(() => warned.includes('PAGE_SIZE_CHANGED'), { what: 'the change is told' });
  await expectRestored(rowsOf(path), bytes, { txid: claimed.txid });
  insert(6, 9);
  const now = await again.sync();
  await expectRestored(rowsOf(path), bytes);
  await expectRestored(rows, 4096, { txid: at.txid });
  await verify({ store });
  await following.waitFor(now);
  const fresh = copy('c.db');
  await fresh.start();
  await fresh.waitFor(now);
  for (const name of ['b.db', 'c.db']) {
    expect(rowsOf(join(root.path, name))).toEqual(rowsOf(path));
    expect(integrity(join(root.path, name))).toBe('ok');
  }
  const opened = await openSnapshots({ store, make: true });
  try {
    const scratch = join(root.path, 'scratch');
    // Made from the claim on, not from an image that was stored meanwhile.
    const target = { txid: claimed.txid };
    await opened.snapshots?.create({ log: opened.log, node: 'a', name: 'since', target, scratch });
    const dest = join(root.path, 'named.db');
    await opened.snapshots?.restore('since', { dest, check: 'full' });
    expect(rowsOf(dest)).toEqual(rows);
  } finally {
    await opened.close();
  }
  // For those who begin with an image of that level alone.
  const isOwn = ({ level, maxTxid }: LogEntry): boolean => level === SNAPSHOT_LEVEL && maxTxid >= claimed.txid;
  await eventually(async () => (await entries()).some(isOwn), { what: 'an image of its own' });
});

test('what was merged since begins with the claim, and is a place to begin at', async () => {
  const { at, rows } = await startedWithRows();
  changePageSize(8192);
  const again = primary({ compactionLevels: ['1s'], keepSegments: '0s' });
  const claimed = await again.start();
  insert(6, 8);
  const now = await again.sync();
  const isMerged = async (): Promise<boolean> => {
    const ends = (await entries()).filter(({ level }) => level === 1).map(({ maxTxid }) => maxTxid);
    return ends.includes(at.txid) && ends.some((end) => end >= now.txid);
  };
  await eventually(isMerged, { what: 'both sides are merged', timeoutMs: 60_000 });
  await again.stop();
  const merged = (await entries()).filter(({ level }) => level === 1);
  expect(merged.filter(({ kind }) => kind === 'snapshot').map(({ minTxid }) => minTxid)).toContain(claimed.txid);
  await expectRestored(rowsOf(path), 8192);
  await expectRestored(rows, 4096, { txid: at.txid });
});
