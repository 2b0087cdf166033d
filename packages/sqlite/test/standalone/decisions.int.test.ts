/**
 * Goes a primary on from where its WAL was read, or with an image of the whole file? Each case of that decision with a real
 * writer: what happens between two primaries, which of the two it must be, and that a restore equals the file after it.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { openLog, Primary, restore } from '../../src/index.ts';
import { FRAME_HEADER_SIZE, parseWalHeader, WAL_HEADER_SIZE } from '../../src/wal/header.ts';
import { rowsOf } from '../database/cluster.ts';

let root: TemporaryDirectory;
let path: string;
let store: string;
beforeEach(async () => {
  root = await temporaryDirectory('decisions');
  path = join(root.path, 'a.db');
  store = join(root.path, 'log');
});
afterEach(() => root.remove());

function open(): DatabaseSync {
  const connection = new DatabaseSync(path, { timeout: 5000 });
  connection.exec('PRAGMA wal_autocheckpoint=0');
  onTestFinished(() => {
    if (connection.isOpen) connection.close();
  });
  return connection;
}

const insert = (app: DatabaseSync, rows: number): void => {
  for (let i = 0; i < rows; i++) app.exec('INSERT INTO t(x) VALUES (hex(randomblob(500)))');
};
const generation = (): number => parseWalHeader(readFileSync(`${path}-wal`).subarray(0, 32))?.salt1 ?? 0;

interface Case {
  readonly name: string;
  readonly expected: 'image' | 'frames';
  /** Keeps the WAL from being copied to its end when the first primary stops. */
  readonly pinned?: boolean;
  /** It noted how it left; else only the WAL can tell. */
  readonly noted?: boolean;
  /** `reader` is in the transaction that pins the WAL, if one does. Gives the application's connection where it is another one. */
  between(app: DatabaseSync, reader: DatabaseSync): DatabaseSync | undefined;
}

const CASES: readonly Case[] = [
  {
    name: 'the WAL is shorter than what was read: truncated',
    expected: 'image',
    between: (app) => void app.exec('INSERT INTO t(x) VALUES (1); PRAGMA wal_checkpoint(TRUNCATE)'),
  },
  {
    name: 'truncated where it was read to its end: on from the start of the new generation',
    expected: 'frames',
    noted: true,
    between(app) {
      app.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      expect(statSync(`${path}-wal`).size).toBe(0);
      insert(app, 1);
    },
  },
  {
    name: 'only the header was left of what was read, and a generation of other salts followed',
    expected: 'image',
    noted: true,
    between(app, reader) {
      const header = readFileSync(`${path}-wal`).subarray(0, WAL_HEADER_SIZE);
      for (const connection of [reader, app]) connection.close();
      writeFileSync(`${path}-wal`, header);
      const next = open();
      insert(next, 3);
      expect(readFileSync(`${path}-wal`).subarray(0, WAL_HEADER_SIZE), 'other salts').not.toEqual(header);
      return next;
    },
  },
  {
    name: 'other commits where ours were, under the same salts',
    expected: 'image',
    pinned: true,
    between(app, reader) {
      const file = readFileSync(path);
      const wal = readFileSync(`${path}-wal`);
      for (const connection of [reader, app]) connection.close();
      // What a machine leaves that went down before the end of the WAL was on the disk.
      writeFileSync(path, file);
      writeFileSync(`${path}-wal`, wal.subarray(0, wal.length - 3 * (FRAME_HEADER_SIZE + 4096)));
      const next = open();
      insert(next, 6);
      const now = readFileSync(`${path}-wal`);
      expect(now.length).toBeGreaterThan(wal.length);
      expect(now.subarray(0, WAL_HEADER_SIZE)).toEqual(wal.subarray(0, WAL_HEADER_SIZE));
      return next;
    },
  },
  // The claim of a new epoch has to hold something: without commits to put into it, it is the whole.
  { name: 'nothing new, the same generation', expected: 'image', pinned: true, between: () => undefined },
  {
    name: 'more commits behind our last frame, the same generation: on from the end',
    expected: 'frames',
    pinned: true,
    between: (app) => void insert(app, 3),
  },
  {
    name: 'one restart, our last frame still there: on from the start of the new generation',
    expected: 'frames',
    between: (app) => void insert(app, 1),
  },
  {
    name: 'one restart that has overwritten our last frame',
    expected: 'image',
    between: (app) => void insert(app, 60),
  },
  {
    name: 'two restarts, our last frame still there: a generation was missed, which only salt-1 tells',
    expected: 'image',
    between(app) {
      const before = generation();
      for (let i = 0; i < 2; i++) {
        insert(app, 1);
        app.exec('PRAGMA wal_checkpoint(RESTART)');
      }
      insert(app, 1);
      expect((generation() - before) >>> 0).toBeGreaterThan(1);
    },
  },
];

async function started(): Promise<Primary> {
  const primary = new Primary({ db: path, store, node: 'a' });
  onTestFinished(() => primary.stop());
  await primary.start();
  return primary;
}

async function kinds(): Promise<string[]> {
  const { log, close } = await openLog(store);
  const entries = await log.entries();
  await close();
  return entries.map(({ kind }) => kind);
}

/** Whether the entry holds every page. */
async function isImage(txid: number): Promise<boolean> {
  const { log, close } = await openLog(store);
  try {
    const segment = await log.read(txid);
    return segment !== undefined && segment.ltx.pageCount === segment.ltx.header.commit;
  } finally {
    await close();
  }
}

async function expectRestored(): Promise<void> {
  const dest = join(root.path, 'restored.db');
  await restore({ store, dest, check: 'full', overwrite: true });
  expect(rowsOf(dest)).toEqual(rowsOf(path));
}

test('no position yet: an image as the first transaction', async () => {
  const app = open();
  app.exec('PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  insert(app, 3);
  await started();
  expect(await kinds()).toEqual(['snapshot']);
  await expectRestored();
});

test.for(CASES)('$name: $expected', async ({ expected, pinned, noted, between }) => {
  let app = open();
  app.exec('PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  insert(app, 20);
  const first = await started();
  const reader = open();
  insert(app, 20);
  if (pinned) {
    reader.exec('BEGIN');
    reader.prepare('SELECT count(*) FROM t').get();
    insert(app, 1);
  }
  await first.sync();
  await first.stop();
  const statePath = `${path}-canopy/state.json`;
  const { clean, ...state } = JSON.parse(readFileSync(statePath, 'utf8'));
  if (noted) expect(clean).toBeDefined();
  else writeFileSync(statePath, JSON.stringify(state));
  app = between(app, reader) ?? app;
  const second = await started();
  expect((await isImage(second.status().position.txid)) ? 'image' : 'frames').toBe(expected);
  await expectRestored();
  if (pinned && reader.isOpen) reader.exec('COMMIT');
  insert(app, 2);
  await second.sync();
  await expectRestored();
});
