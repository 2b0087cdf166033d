import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type DivergenceChange,
  deleteDivergence,
  describeDivergences,
  findDivergence,
  readChanges,
  showDivergence,
} from '../../src/divergence/listing.ts';
import { changeToSql } from '../../src/divergence/sql.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-kept-'));
  path = join(directory, 'app.db');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function kept(id: string, files: Readonly<Record<string, string>>): string {
  const made = `${path}.divergent-${id}`;
  mkdirSync(made);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(made, name), text);
  return made;
}

describe('the divergences of a node', () => {
  it('are told with their size and what was known when they were kept; old ones without a summary, too', async () => {
    const facts = { keptAt: 5, node: 'n1', fork: '3.0000000000000007', rows: 2, tables: [{ table: 't', rows: 2 }] };
    const summary = JSON.stringify(facts);
    const first = kept('3-0000000000000007', { 'summary.json': summary, 'database.sqlite': 'x'.repeat(1000) });
    const second = kept('3-0000000000000007-2', { 'database.sqlite': 'x'.repeat(10), 'summary.json': '{' });
    writeFileSync(`${path}.divergence`, 'not one');
    expect(await describeDivergences(path)).toEqual([
      { ...facts, id: '3-0000000000000007', directory: first, sizeBytes: 1000 + summary.length },
      { id: '3-0000000000000007-2', directory: second, sizeBytes: 11, keptAt: expect.any(Number) },
    ]);
  });

  it('are found and deleted by their id alone, never by a path', async () => {
    const made = kept('1-a', { 'database.sqlite': '12345' });
    for (const id of ['', '..', '../app.db', '1-b', '1-a/../1-a'])
      expect(() => findDivergence(path, id), id).toThrow(
        expect.objectContaining({ code: 'SQLITE_DIVERGENCE_MISSING' }),
      );
    await expect(deleteDivergence(path, '1-b')).rejects.toMatchObject({ fields: { known: '1-a' } });
    expect(await deleteDivergence(path, '1-a')).toEqual({ directory: made, freedBytes: 5 });
    expect(existsSync(made)).toBe(false);
  });
});

describe('the list of changes', () => {
  const line = (id: number, x: string): string =>
    JSON.stringify({ table: 't', change: 'insert', row: { '(rowid)': id, id, x } });

  it('is read in pieces of bounded size, and nothing is lost between them', () => {
    const lines = Array.from({ length: 5000 }, (_, id) => line(id, 'ä'.repeat(id % 150)));
    const made = kept('1-a', { 'changes.jsonl': `${lines.join('\n')}\n` });
    const first = readChanges(made);
    expect(first.next).toBeLessThanOrEqual(256 * 1024);
    expect(first.changes.length).toBeLessThan(5000);
    expect([...showDivergence(made)].map((change) => JSON.stringify(change))).toEqual(lines);
  });

  it('a row that is too long for a piece is named, not loaded; those around it are there', () => {
    const long = line(2, 'y'.repeat(600_000));
    const made = kept('1-a', { 'changes.jsonl': [line(1, 'a'), long, line(3, 'b')].join('\n') });
    expect([...showDivergence(made)]).toEqual([
      JSON.parse(line(1, 'a')),
      { table: 't', change: 'insert', tooLongBytes: long.length + 1 },
      JSON.parse(line(3, 'b')),
    ]);
  });

  it('that is missing, empty or damaged says so', () => {
    expect([...showDivergence(kept('1-a', {}))]).toEqual([{ problem: 'it has no list of changes' }]);
    expect([...showDivergence(kept('1-b', { 'changes.jsonl': '' }))]).toEqual([]);
    const damaged = kept('1-c', { 'changes.jsonl': '{"table":"t"\n' });
    expect([...showDivergence(damaged)]).toEqual([{ problem: 'a line of the list cannot be read' }]);
  });
});

describe('changes as SQL', () => {
  it('carried over to the state before they give the kept state, awkward names and values included', () => {
    const made = new DatabaseSync(':memory:');
    made.exec(`CREATE TABLE "odd ""t"(id INTEGER PRIMARY KEY, "a b", c);
      INSERT INTO "odd ""t" VALUES (1, 'it''s', x'00ff'), (2, 'x', 1.5), (3, NULL, 2)`);
    const table = 'odd "t';
    const row = (id: number, a: unknown, c: unknown) => ({ '(rowid)': id, id, 'a b': a, c });
    const changes: DivergenceChange[] = [
      { table, change: 'update', before: row(1, "it's", { hex: '00ff' }), row: row(1, "it's\nnew", { hex: 'ee' }) },
      { table, change: 'insert', row: row(4, 'nul\0inside', '9007199254740993') },
      { table, change: 'delete', before: row(3, null, 2) },
      { table, problem: 'virtual\ntable; DROP TABLE x' },
      { table, tooLongBytes: 600_000 },
    ];
    made.exec(changes.map(changeToSql).join('\n'));
    expect(made.prepare('SELECT id, "a b" AS a, hex(c) AS c FROM "odd ""t" ORDER BY id').all()).toEqual([
      { id: 1, a: "it's\nnew", c: 'EE' },
      { id: 2, a: 'x', c: '312E35' },
      { id: 4, a: expect.stringMatching(/^nul/), c: Buffer.from('9007199254740993').toString('hex') },
    ]);
    expect(made.prepare('SELECT hex("a b") AS h FROM "odd ""t" WHERE id = 4').get()?.h).toBe('6E756C00696E73696465');
    made.close();
  });

  it.each([
    ['another case', "'A'", 'a'],
    ['another storage class', '1.0', 1],
    ['another storage class than a text', '1', '1'],
    ['a text now', "'1.0'", { real: '1.0' }],
    ['bytes now', "x'61'", 'a'],
  ])('a row that has changed since is left alone: %s', (_, since, was) => {
    for (const name of [{ key: ['id'] }, { rowid: 1 }, { rowid: null }]) {
      const made = new DatabaseSync(':memory:');
      made.exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, x COLLATE NOCASE); INSERT INTO t VALUES (1, ${since})`);
      const change = { table: 't', ...name, before: { id: 1, x: was } };
      made.exec(changeToSql({ ...change, change: 'update', row: { id: 1, x: 'new' } }));
      made.exec(changeToSql({ ...change, change: 'delete' }));
      expect(made.prepare(`SELECT x IS ${since} AS kept FROM t`).get()?.kept).toBe(1);
      made.close();
    }
  });

  it('one of several equal rows goes, by its rowid; where nothing tells them apart they are left alone', () => {
    const made = new DatabaseSync(':memory:');
    made.exec("CREATE TABLE t(rowid, x); INSERT INTO t VALUES (7, 'a'), (7, 'a'), (7, 'b')");
    const before = { rowid: 7, x: 'a' };
    made.exec(changeToSql({ table: 't', change: 'delete', rowid: null, before }));
    expect(made.prepare('SELECT count(*) AS n FROM t').get()?.n).toBe(3);
    made.exec(changeToSql({ table: 't', change: 'delete', rowid: 2, before }));
    expect(made.prepare('SELECT _rowid_ AS id FROM t').all()).toEqual([{ id: 1 }, { id: 3 }]);
    made.exec(changeToSql({ table: 't', change: 'delete', rowid: null, before }));
    expect(made.prepare('SELECT _rowid_ AS id FROM t').all()).toEqual([{ id: 3 }]);
    made.close();
  });

  it('a table that only the kept file has is made; other statements of it are only told', () => {
    const sql = 'CREATE TABLE u(x) -- the last line';
    const made = new DatabaseSync(':memory:');
    made.exec(changeToSql({ table: 'u', change: 'create', problem: 'new', sql }));
    made.exec(changeToSql({ table: 'u', change: 'insert', rowid: 1, row: { x: { real: '-Infinity' } } }));
    made.exec(changeToSql({ table: 'u', problem: 'index', sql: 'CREATE INDEX i\nON u(x)' }));
    expect(made.prepare('SELECT x FROM u').get()?.x).toBe(-Infinity);
    expect(made.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'index'").get()?.n).toBe(0);
    made.close();
  });

  it('of a list of an earlier version: an update leaves a row alone that has changed since', () => {
    const made = new DatabaseSync(':memory:');
    made.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 'since')");
    made.exec(changeToSql({ table: 't', change: 'update', before: { id: 1, x: 'old' }, row: { id: 1, x: 'new' } }));
    expect(made.prepare('SELECT x FROM t').get()?.x).toBe('since');
    made.close();
  });
});
