import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemEnv } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { LiveDatabase } from '../../src/primary/live-database.ts';
import { startOf, type WalBatch, type WalCursor, WalReader } from '../../src/wal/reader.ts';

let directory: string;
let path: string;
let application: DatabaseSync;
let live: LiveDatabase | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-live-'));
  path = join(directory, 'a.db');
  application = new DatabaseSync(path, { timeout: 1000 });
  application.exec('PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
});
afterEach(() => {
  live?.close();
  live = undefined;
  application.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(start: { cursor: WalCursor | undefined; restartable: boolean }): LiveDatabase {
  const options = resolveSqliteOptions({ busyTimeout: 50, lockTimeout: 200, checkpointPages: 10 });
  live = new LiveDatabase({ path, env: systemEnv(), options }, start);
  return live;
}

function insert(rows = 1): void {
  for (let i = 0; i < rows; i++) application.exec('INSERT INTO t(x) VALUES (hex(randomblob(500)))');
}

/** Reads what is there, and says how many commits it was. */
function take(database: LiveDatabase): number {
  const step = database.next();
  if (step.type !== 'frames') return step.type === 'nothing' ? 0 : -1;
  database.advance(step.batch.end);
  return step.batch.transactions;
}

/**
 * What a writer leaves that dies while its COMMIT waits for the disk: valid frames with a commit in the WAL, which the
 * index does not know of. They are made by a twin of the database. Gives back the WAL's end with them.
 */
function phantom(rows: number): WalCursor {
  const twin = join(directory, 'twin.db');
  copyFileSync(path, twin);
  copyFileSync(`${path}-wal`, `${twin}-wal`);
  const writer = new DatabaseSync(twin);
  writer.exec(
    `PRAGMA wal_autocheckpoint=0; BEGIN; ${'INSERT INTO t(x) VALUES (hex(randomblob(2000)));'.repeat(rows)} COMMIT`,
  );
  const frames = readFileSync(`${twin}-wal`);
  writer.close();
  const fd = openSync(`${path}-wal`, 'r+');
  try {
    writeSync(fd, frames);
    const scan = new WalReader(fd).read();
    if (scan.type !== 'batch') throw new Error('no frames');
    return scan.end;
  } finally {
    closeSync(fd);
  }
}

test('a commit that its writer did not live to publish is not one, and what is written over it is not missed', () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(3);
  expect(take(database)).toBe(4);
  for (const rows of [1, 20, 5]) {
    const end = phantom(rows);
    expect(end.offset).toBeGreaterThan((database.cursor as WalCursor).offset);
    expect(database.next().type).toBe('nothing');
    insert(1);
    expect(take(database), 'over the dead one').toBe(1);
    expect(database.next().type).toBe('nothing');
    insert(2);
    expect(take(database)).toBe(2);
    phantom(rows);
    const taken: WalBatch[] = [];
    database.checkpoint((batch) => taken.push(batch));
    expect(taken).toEqual([]);
    insert(1);
    expect(take(database), 'after a checkpoint').toBe(1);
  }
});

test('that everything was read is told only while it is certain, and after the WAL began anew as well', () => {
  const database = open({ cursor: undefined, restartable: true });
  expect(database.isReadToEnd).toBe(database.next().type === 'nothing');
  insert(2);
  expect(database.isReadToEnd).toBe(false);
  take(database);
  expect(database.isReadToEnd).toBe(true);
  phantom(3);
  expect(database.isReadToEnd, 'beside a commit that is none').toBe(true);
  database.checkpoint(() => {});
  expect(database.isReadToEnd).toBe(true);
  const writer = new DatabaseSync(path);
  writer.exec('BEGIN IMMEDIATE; INSERT INTO t(x) VALUES (1); ROLLBACK');
  writer.close();
  expect(database.isReadToEnd, 'after a writer that has begun a new WAL and committed nothing').toBe(true);
  insert(1);
  expect(database.isReadToEnd).toBe(false);
  take(database);
  expect(database.isReadToEnd).toBe(true);
});

test('a cursor behind what is committed is lost, also once as much was written over it', () => {
  insert(3);
  const cursor = phantom(4);
  const database = open({ cursor, restartable: false });
  expect(database.next()).toMatchObject({ type: 'lost', reason: expect.stringContaining('ends before') });
  while ((database.next() as { reason?: string }).reason?.includes('ends before')) insert(1);
  expect(database.next()).toMatchObject({ type: 'lost', reason: expect.stringContaining('overwritten') });
  insert(30);
  expect(database.next()).toMatchObject({ type: 'lost', reason: 'the WAL was overwritten' });
});

test('an image does not contain what was not committed', async () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(3);
  const reader = new DatabaseSync(path);
  reader.exec('BEGIN; SELECT count(*) FROM t');
  insert(3);
  const { offset } = phantom(4);
  const image = await database.freeze(AbortSignal.timeout(1000));
  expect(image.frames.size).toBeGreaterThan(0);
  expect(Math.max(...image.frames.values())).toBeLessThan((database.cursor as WalCursor).offset);
  expect(database.cursor?.offset).toBeLessThan(offset);
  reader.close();
  insert(1);
  expect(take(database)).toBe(1);
});

test('an index that was replaced is noticed', () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(1);
  database.check();
  renameSync(`${path}-shm`, `${path}-moved`);
  try {
    expect(() => database.check()).toThrow(expect.objectContaining({ code: 'SQLITE_FILE_REPLACED' }));
  } finally {
    renameSync(`${path}-moved`, `${path}-shm`);
  }
});

test('the present generation of the WAL is measured, not what is left of an old one', () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(20);
  take(database);
  expect(database.walBytesUsed).toBeGreaterThan(20 * 4096);
  database.checkpoint(() => {});
  insert(1);
  expect(database.walBytesUsed).toBeLessThan(5 * 4096);
  expect(database.walBytes).toBeGreaterThan(20 * 4096);
});

test('a WAL that is too large is begun anew as soon as no reader uses it, with writers kept out', async () => {
  const database = open({ cursor: undefined, restartable: true });
  const reader = new DatabaseSync(path);
  reader.exec('BEGIN; SELECT count(*) FROM t');
  insert(20);
  take(database);
  const used = database.walBytesUsed;
  const release = database.holdWriters();
  const look = async (): Promise<void> => {
    await eventually(() => database.isCheckpointDue(true), { what: 'another look' });
    database.checkpoint((batch) => database.advance(batch.end), { renew: true });
  };
  for (let i = 0; i < 4; i++) await look();
  expect(database.walBytesUsed, 'while it is read').toBeGreaterThanOrEqual(used);
  reader.close();
  for (let i = 0; i < 6 && database.walBytesUsed >= used; i++) await look();
  expect(database.walBytesUsed).toBeLessThan(3 * 4096);
  expect(() => application.exec('PRAGMA busy_timeout=20; INSERT INTO t(x) VALUES (1)')).toThrow('locked');
  release?.();
  take(database);
  insert(2);
  expect(take(database)).toBe(2);
});

test('a WAL that was copied before it became too large is begun anew as well', async () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(20);
  take(database);
  database.checkpoint(() => {});
  expect(database.isCheckpointDue(false)).toBe(false);
  const release = database.holdWriters();
  await eventually(() => database.isCheckpointDue(true), { what: 'a look' });
  database.checkpoint((batch) => database.advance(batch.end), { renew: true });
  expect(database.walBytesUsed).toBeLessThan(3 * 4096);
  release?.();
});

test('with more readers than SQLite has read marks, the barrier does not stay in the way of its own checkpoint', async () => {
  const database = open({ cursor: undefined, restartable: true });
  // Each at a state of its own: no mark is left, and whoever comes now shares an old one.
  const readers = Array.from({ length: 5 }, () => {
    insert(3);
    const reader = new DatabaseSync(path);
    reader.exec('BEGIN; SELECT count(*) FROM t');
    return reader;
  });
  insert(3);
  take(database);
  const used = database.walBytesUsed;
  const release = database.holdWriters();
  for (const reader of readers) reader.close();
  for (let i = 0; i < 8 && database.walBytesUsed >= used; i++) {
    await eventually(() => database.isCheckpointDue(true), { what: 'a look' });
    database.checkpoint((batch) => database.advance(batch.end), { renew: true });
  }
  expect(database.walBytesUsed).toBeLessThan(3 * 4096);
  release?.();
});

test("no checkpoint of the application's can hide a commit", () => {
  const database = open({ cursor: undefined, restartable: true });
  take(database);
  for (const mode of ['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE', 'PASSIVE']) {
    insert(3);
    application.exec(`PRAGMA busy_timeout=10; PRAGMA wal_checkpoint(${mode})`);
    insert(2);
    expect(take(database), mode).toBe(5);
  }
});

test('our checkpoint hands over the rest, and the next writer begins the WAL anew', () => {
  const database = open({ cursor: undefined, restartable: true });
  take(database);
  const salt = database.cursor?.salt1;
  for (let round = 0; round < 5; round++) {
    insert(20);
    const rest: WalBatch[] = [];
    expect(take(database)).toBe(20);
    expect(database.isCheckpointDue(false)).toBe(true);
    insert(2);
    database.checkpoint((batch) => {
      rest.push(batch);
      database.advance(batch.end);
    });
    expect(rest.map((batch) => batch.transactions)).toEqual([2]);
    insert(3);
    expect(take(database)).toBe(3);
    expect(database.isCheckpointDue(false)).toBe(false);
  }
  expect(database.cursor?.salt1).not.toBe(salt);
  expect(database.walBytes).toBeLessThan(60 * 5000);
});

test('a WAL that was truncated after our checkpoint loses nothing', () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(5);
  take(database);
  database.checkpoint(() => {});
  application.exec('PRAGMA busy_timeout=10; PRAGMA wal_checkpoint(TRUNCATE)');
  expect(database.next().type).toBe('nothing');
  insert(4);
  expect(take(database)).toBe(4);
});

test('a reader that stays makes the checkpoint incomplete, and nothing is missed all the same', () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(5);
  take(database);
  const reader = new DatabaseSync(path);
  reader.exec('BEGIN; SELECT count(*) FROM t');
  insert(20);
  take(database);
  database.checkpoint(() => {});
  insert(6);
  expect(take(database)).toBe(6);
  reader.close();
});

test('a cursor of a WAL that is gone is lost, not empty', () => {
  const first = open({ cursor: undefined, restartable: true });
  insert(5);
  take(first);
  const { cursor } = first;
  first.close();
  application.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  insert(1);
  expect(open({ cursor, restartable: false }).next()).toEqual({
    type: 'lost',
    reason: 'the WAL was restarted before it was read',
  });
});

test('a commit that was shipped and then overwritten is noticed', () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(2);
  take(database);
  const { offset } = database.cursor as WalCursor;
  const wal = readFileSync(`${path}-wal`);
  wal.fill(0x11, offset - 4096 - 24 + 16, offset);
  writeFileSync(`${path}-wal`, wal);
  // The salts are the same: only the checksum tells.
  expect(database.next()).toEqual({ type: 'lost', reason: 'the WAL was overwritten' });
});

test('before the first frame the salts alone decide: the same go on from there, others are lost', () => {
  insert(2);
  const fd = openSync(`${path}-wal`, 'r');
  const header = new WalReader(fd).header();
  closeSync(fd);
  if (header === undefined) throw new Error('no WAL');
  const cursor = startOf(header);
  expect(cursor.offset).toBe(32);
  const database = open({ cursor, restartable: false });
  expect(take(database), 'the same salts').toBe(3);
  database.close();

  application.exec('PRAGMA wal_checkpoint(RESTART)');
  insert(1);
  expect(open({ cursor, restartable: false }).next(), 'others, though once more only').toEqual({
    type: 'lost',
    reason: 'the WAL was restarted before it was read',
  });
});

test('a frozen image is the database, also while it is written on', async () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(30);
  const rows = application.prepare('SELECT * FROM t').all();
  const image = await database.freeze(AbortSignal.timeout(1000));
  insert(30);
  const { pageSize } = database.readers;
  const pages = Array.from({ length: image.commit }, (_, i) => database.page(image, i + 1, new Uint8Array(pageSize)));
  const copy = join(directory, 'copy.db');
  writeFileSync(copy, Buffer.concat(pages));
  const restored = new DatabaseSync(copy);
  expect(restored.prepare('SELECT * FROM t').all()).toEqual(rows);
  restored.close();
  expect(database.movedOn(image)).toBeUndefined();
  expect(take(database)).toBe(30);
  // Whatever copies the WAL into the file ends it: the file has later pages then.
  await database.freeze(AbortSignal.timeout(1000));
  expect(database.movedOn(image)).toContain('copied');
  expect(() => database.source(image).check()).toThrow(expect.objectContaining({ code: 'SQLITE_IMAGE_MOVED' }));
});

test('leaving is refused while a program has the database open, and true when nothing was written behind us', async () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(3);
  take(database);
  await expect(database.leave()).rejects.toMatchObject({ code: 'SQLITE_DATABASE_BUSY' });
  application.close();
  expect(await database.leave()).toBe(true);
  application = new DatabaseSync(path);
  expect(application.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'delete' });
});

test('leaving tells when something was written that nobody has read', async () => {
  const database = open({ cursor: undefined, restartable: true });
  take(database);
  insert(1);
  application.close();
  expect(await database.leave()).toBe(false);
  application = new DatabaseSync(path);
});

test('what was committed and truncated away while nothing was pinned any more is not taken for nothing', async () => {
  const database = open({ cursor: undefined, restartable: true });
  insert(3);
  take(database);
  database.checkpoint(() => {});
  await expect(database.leave()).rejects.toMatchObject({ code: 'SQLITE_DATABASE_BUSY' });
  insert(1);
  application.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  application.close();
  expect(await database.leave()).toBe(false);
  application = new DatabaseSync(path);
});

test('what was committed last stays when the file leaves WAL mode, though its version number did not move', async () => {
  application.exec('PRAGMA user_version=1');
  // The pin reads page 1 here, and the commits of one connection all give it the same number.
  const database = open({ cursor: undefined, restartable: true });
  application.exec('PRAGMA user_version=2');
  take(database);
  application.close();
  expect(await database.leave()).toBe(true);
  application = new DatabaseSync(path);
  expect(application.prepare('PRAGMA user_version').get()).toEqual({ user_version: 2 });
});
