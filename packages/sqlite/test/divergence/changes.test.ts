import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, expect, test } from 'vitest';
import { listChanges } from '../../src/divergence/changes.ts';
import { comparePages } from '../../src/divergence/page-compare.ts';

const directory = mkdtempSync(join(tmpdir(), 'canopy-changes-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let made = 0;
function database(sql: string): string {
  const path = join(directory, `${made++}.db`);
  const connection = new DatabaseSync(path);
  connection.exec(sql);
  connection.close();
  return path;
}

function changes(kept: string, fork: string): { rows: number; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const { rows } = listChanges(database(kept), database(fork), (line) => lines.push(JSON.parse(line)));
  return { rows, lines };
}

const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, x);';

test('inserts, updates and deletes are told apart by the key', () => {
  const { rows, lines } = changes(
    `${TABLE} INSERT INTO t VALUES (1, 'same'), (2, 'new'), (4, NULL)`,
    `${TABLE} INSERT INTO t VALUES (1, 'same'), (2, 'old'), (3, 'gone')`,
  );
  expect(rows).toBe(3);
  expect(lines).toContainEqual({ table: 't', change: 'insert', key: ['id'], row: { id: 4, x: null } });
  expect(lines).toContainEqual({
    table: 't',
    change: 'update',
    key: ['id'],
    row: { id: 2, x: 'new' },
    before: { id: 2, x: 'old' },
  });
  expect(lines).toContainEqual({ table: 't', change: 'delete', key: ['id'], before: { id: 3, x: 'gone' } });
});

test('tables without a rowid, awkward names, blobs and 64-bit numbers', () => {
  const table = 'CREATE TABLE "odd ""name"(a TEXT, b INTEGER, c, PRIMARY KEY(b, a)) WITHOUT ROWID;';
  const { lines } = changes(`${table} INSERT INTO "odd ""name" VALUES ('k', 9007199254740993, x'00ff')`, table);
  expect(lines).toEqual([
    {
      table: 'odd "name',
      change: 'insert',
      key: ['b', 'a'],
      row: { a: 'k', b: { int: '9007199254740993' }, c: { hex: '00ff' } },
    },
  ]);
});

test('tables that cannot be compared are named with the reason', () => {
  const { rows, lines } = changes(
    `${TABLE} CREATE TABLE only_here(x); CREATE VIRTUAL TABLE f USING fts5(x)`,
    'CREATE TABLE t(id INTEGER PRIMARY KEY, x, y); CREATE TABLE only_there(x)',
  );
  expect(rows).toBe(0);
  const problems = new Map(lines.map((line) => [line.table, line.problem]));
  expect(problems.get('t')).toContain('definition differs');
  expect(problems.get('only_here')).toContain('only in the kept');
  expect(problems.get('only_there')).toContain('missing');
  expect(problems.get('f')).toContain('virtual');
});

test('files of one content compare as the same in either journal mode, others do not', () => {
  const sql = `${TABLE} INSERT INTO t VALUES (1, 'a')`;
  const a = database(sql);
  const b = database(`PRAGMA journal_mode=WAL; ${sql}`);
  const c = database(`${TABLE} INSERT INTO t VALUES (1, 'b')`);
  expect(comparePages(a, b)).toEqual({ same: true, differing: 0 });
  expect(comparePages(a, c)).toEqual({ same: false, differing: 1 });
  const longer = database(`${sql}; CREATE TABLE u(x)`);
  expect(comparePages(a, longer).same).toBe(false);
});
