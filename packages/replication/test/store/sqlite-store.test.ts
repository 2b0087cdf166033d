/** The file of a store: what is refused, and how it is told. */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CanopyError } from '@canopy/core';
import { temporaryDirectory } from '@canopy/testkit';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { SqliteStore } from '../../src/index.ts';
import { codeOf } from '../code-of.ts';

let path: string;
beforeEach(async () => {
  const directory = await temporaryDirectory('sqlite-store');
  path = join(directory.path, 'deep', 'er', 'replica.db');
  return () => directory.remove();
});

function opened(): SqliteStore {
  const store = SqliteStore.open({ path, busyTimeoutMs: 0 });
  onTestFinished(() => store.close());
  return store;
}

function sql(text: string): void {
  const database = new DatabaseSync(path);
  database.exec(text);
  database.close();
}

function errorOf(run: () => unknown): CanopyError {
  try {
    run();
  } catch (error) {
    if (CanopyError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('the file has one store at a time, within one process too', () => {
  const store = opened();
  expect(errorOf(opened)).toMatchObject({ code: 'STATE_STORE_IN_USE', fields: { pid: process.pid } });
  store.commit([{ space: 's', key: 'k', value: 1 }]);
  for (const [target, link] of [
    [path, join(dirname(path), 'file-link')],
    [dirname(path), join(dirname(path), 'directory-link')],
  ] as const)
    symlinkSync(target, link);
  for (const link of ['file-link', 'directory-link/replica.db'])
    expect(codeOf(() => SqliteStore.open({ path: join(dirname(path), link), busyTimeoutMs: 0 }))).toBe(
      'STATE_STORE_IN_USE',
    );
  store.close();
  expect(opened().get('s', 'k')).toBe(1);
});

test('what the two durabilities ask of SQLite', () => {
  const asked: unknown[] = [];
  const exec = DatabaseSync.prototype.exec;
  DatabaseSync.prototype.exec = function (text: string) {
    asked.push(...(text.match(/synchronous = \w+/g) ?? []));
    return exec.call(this, text);
  };
  try {
    for (const durability of ['full', 'process'] as const) SqliteStore.open({ path, durability }).close();
    SqliteStore.open({ path }).close();
  } finally {
    DatabaseSync.prototype.exec = exec;
  }
  expect(asked).toEqual(['synchronous = FULL', 'synchronous = NORMAL', 'synchronous = FULL']);
  expect(codeOf(() => SqliteStore.open({ path, durability: 'none' as 'full' }))).toBe('OPTIONS_INVALID');
});

test('a file of a newer version or of another program is refused and left alone', () => {
  opened().close();
  sql('PRAGMA user_version = 2');
  expect(errorOf(opened)).toMatchObject({ code: 'STATE_STORE_VERSION', message: expect.stringContaining('version 2') });
  sql('PRAGMA user_version = 1');
  opened().close();
  path = `${path}-other`;
  sql('CREATE TABLE t(x)');
  const before = readFileSync(path);
  expect(codeOf(opened)).toBe('STATE_STORE_VERSION');
  expect(readFileSync(path).equals(before)).toBe(true);
});

test('a damaged file is told of, with what to do', () => {
  const store = opened();
  store.commit(Array.from({ length: 3000 }, (_, i) => ({ space: 's', key: `k${i}`, value: 'x'.repeat(100) })));
  store.close();
  const bytes = readFileSync(path);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, 12_288), Buffer.alloc(bytes.length - 12_288, 7)]));
  const damaged = opened();
  const error = errorOf(() => damaged.scan('s', { limit: 5000 }));
  expect(error).toMatchObject({ code: 'STATE_STORE_FAILED', hint: expect.stringContaining('snapshot') });
  expect(error.message).toContain('damaged');
  damaged.close();
  writeFileSync(path, 'no database, but long enough to have a header '.repeat(10));
  expect(errorOf(opened).message).toContain('no SQLite database');
  expect(codeOf(opened)).toBe('STATE_STORE_FAILED');
});

test('a lock that another program holds is told of; nothing is kept of the commit', () => {
  const store = opened();
  store.commit([{ space: 's', key: 'k', value: 1 }]);
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  const commit = (): void => store.commit([{ space: 's', key: 'k', value: 2 }]);
  expect(errorOf(commit)).toMatchObject({
    code: 'STATE_STORE_FAILED',
    message: expect.stringContaining('another program'),
  });
  expect(store.get('s', 'k')).toBe(1);
  other.exec('ROLLBACK');
  other.close();
  commit();
  expect(store.get('s', 'k')).toBe(2);
});

test('what was asked for before is what the file has, whatever happened since', () => {
  const store = opened();
  const put = (key: string, value: number | undefined) => ({ space: 's', key, value });
  store.commit([put('a', 1), put('b', 2), put('gone', 3)]);
  const all = (): unknown[] => ['a', 'b', 'gone', 'never'].map((key) => store.get('s', key));
  expect(all()).toEqual([1, 2, 3, undefined]);
  expect(codeOf(() => store.commit([put('a', 9), put('never', 9), put('x'.repeat(2000), 9)]))).toBe(
    'STATE_STORE_INPUT_INVALID',
  );
  expect(all()).toEqual([1, 2, 3, undefined]);
  store.commit([put('a', 4), put('a', 5), put('gone', undefined), put('never', 6)]);
  expect(all()).toEqual([5, 2, undefined, 6]);
  store.commit([{ space: 'incoming', key: 'a', value: { n: 7 } }]);
  expect(store.get('incoming', 'a')).toEqual({ n: 7 });
  store.commit([put('b', 8)], [{ from: 'incoming', to: 's' }]);
  expect(all()).toEqual([{ n: 7 }, 8, undefined, undefined]);
  expect(store.get('incoming', 'a')).toBeUndefined();
  (store.get('s', 'a') as { n: number }).n = 0;
  expect(store.get('s', 'a')).toEqual({ n: 7 });
});

test("another program's changes count from the next scan on", () => {
  const store = opened();
  store.commit(['a', 'b', 'c'].map((key) => ({ space: 's', key, value: 1 })));
  const all = (): unknown[] => ['a', 'b', 'c'].map((key) => store.get('s', key));
  expect(all()).toEqual([1, 1, 1]);
  store.scan('s');
  expect(all()).toEqual([1, 1, 1]);
  sql("UPDATE space_1 SET value = '2' WHERE key = 'a'; DELETE FROM space_1 WHERE key = 'b'");
  expect(store.scan('s')).toEqual([
    ['a', 2],
    ['c', 1],
  ]);
  expect(all()).toEqual([2, undefined, 1]);
});
