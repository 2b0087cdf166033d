/** What a collation, an affinity, a column's name or JSON would hide is in the list, with its exact value. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, test } from 'vitest';
import { listChanges } from '../../src/divergence/changes.ts';
import type { DivergenceChange } from '../../src/divergence/listing.ts';
import { listed } from './round-trip.ts';

const directory = mkdtempSync(join(tmpdir(), 'canopy-exact-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let made = 0;
function database(sql: string): string {
  const path = join(directory, `${made++}.db`);
  const connection = new DatabaseSync(path);
  connection.exec(sql);
  connection.close();
  return path;
}

function spoilLastPage(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0xff, bytes.length - bytes.readUInt16BE(16));
  writeFileSync(path, bytes);
}

/** `both` is in both files; the kept one has `then` on top. */
function changes(both: string, then: string): DivergenceChange[] {
  return listed(database(`${both};${then}`), database(both)).changes;
}

describe('values that SQLite calls equal', () => {
  test.each([
    ['case, under NOCASE', 'x TEXT COLLATE NOCASE', "'a'", "'A'", 'a', 'A'],
    ['spaces, under RTRIM', 'x TEXT COLLATE RTRIM', "'a'", "'a  '", 'a', 'a  '],
    ['an integer and a real', 'x', '1', '1.0', 1, { real: '1.0' }],
    ['the two zeros', 'x', '0.0', '-0.0', { real: '0.0' }, { real: '-0.0' }],
    ['a text and a blob', 'x', "'a'", "x'61'", 'a', { hex: '61' }],
    ['a number and its text', 'x', '5', "'5'", 5, '5'],
    ['NULL and nothing', 'x', 'NULL', "''", null, ''],
    ['nothing and no bytes', 'x', "''", "x''", '', { hex: '' }],
    ['neighbours past 2^53', 'x', '9007199254740993', '9007199254740992', ...bigOnes()],
  ])('%s', (_, column, old, now, before, after) => {
    const list = changes(
      `CREATE TABLE t(id INTEGER PRIMARY KEY, ${column}); INSERT INTO t VALUES (1, ${old}), (2, ${now})`,
      `UPDATE t SET x = ${now} WHERE id = 1`,
    );
    expect(list).toEqual([
      { table: 't', change: 'update', key: ['id'], row: { id: 1, x: after }, before: { id: 1, x: before } },
    ]);
    expect(changes(`CREATE TABLE t(id INTEGER PRIMARY KEY, ${column}); INSERT INTO t VALUES (1, ${old})`, '')).toEqual(
      [],
    );
  });

  function bigOnes(): [unknown, unknown] {
    return [{ int: '9007199254740993' }, { int: '9007199254740992' }];
  }
});

test('values that JSON has no form for', () => {
  const values = [
    ["CAST(x'ff41' AS TEXT)", { textHex: 'ff41' }],
    ["'a' || char(0) || 'b'", 'a\0b'],
    ["CAST(x'efbbbf61' AS TEXT)", '\ufeffa'],
    ['9e999', { real: 'Infinity' }],
    ['-9e999', { real: '-Infinity' }],
    ['1e300', { real: '1e+300' }],
    ['-9223372036854775808', { int: '-9223372036854775808' }],
    ["x'00ff'", { hex: '00ff' }],
    ['0.1', 0.1],
    ['5e-324', 5e-324],
    ['9007199254740991', 9007199254740991],
  ] as const;
  const rows = values.map(([sql], i) => `(${i}, ${sql})`).join(', ');
  const list = changes('CREATE TABLE t(id INTEGER PRIMARY KEY, x)', `INSERT INTO t VALUES ${rows}`);
  expect(list.map(({ row }) => row?.x)).toEqual(values.map(([, cell]) => cell));
});

describe('what names a row', () => {
  test.each([
    ['a column named rowid', 'rowid, v', 'rowid, v'],
    ['columns named rowid and oid', 'OID, "RowId", v', 'OID, RowId, v'],
    ['a generated column named rowid', 'v, rowid AS (1)', 'v'],
  ])('%s does not stand in for the rowid', (_, columns, kept) => {
    const fill = kept
      .split(', ')
      .map((name) => (name === 'v' ? "'a'" : '7'))
      .join(', ');
    const list = changes(
      `CREATE TABLE t(${columns}); INSERT INTO t(${kept}) VALUES (${fill}), (${fill})`,
      "UPDATE t SET v = 'b' WHERE _rowid_ = 2",
    );
    expect(list).toMatchObject([{ table: 't', change: 'update', rowid: 2, row: { v: 'b' }, before: { v: 'a' } }]);
  });

  test('nothing, where all names of the rowid are taken: copies are counted', () => {
    const list = changes(
      "CREATE TABLE t(rowid, _rowid_, oid); INSERT INTO t VALUES (1, 'a', 0.0), (1, 'a', 0.0), (1, 'b', NULL)",
      "DELETE FROM t WHERE _rowid_ = 'b'; INSERT INTO t VALUES (1, 'a', 0.0), (1, 'a', -0.0), (1, 'A', 0.0), (1.0, 'a', 0.0), (1, 'a', 0.0)",
    );
    const row = (b: string, c: string | null) => ({ rowid: 1, _rowid_: b, oid: c === null ? null : { real: c } });
    expect(list[0]).toEqual({ table: 't', change: 'delete', rowid: null, before: row('b', null) });
    const more = [row('a', '0.0'), row('a', '0.0'), row('a', '-0.0'), row('A', '0.0')];
    expect(list).toHaveLength(6);
    expect(list.filter(({ row: one }) => JSON.stringify(one?.rowid) === '{"real":"1.0"}')).toHaveLength(1);
    for (const one of more) expect(list).toContainEqual({ table: 't', change: 'insert', rowid: null, row: one });
    expect(list.filter(({ row: one }) => JSON.stringify(one) === JSON.stringify(more[0]))).toHaveLength(2);
  });

  test('a key in a table without rowid, byte for byte', () => {
    const table = 'CREATE TABLE t(k TEXT COLLATE NOCASE, j, v, PRIMARY KEY(k, j DESC)) WITHOUT ROWID';
    const list = changes(
      `${table}; INSERT INTO t VALUES ('k', 1, 1), ('l', 1, 1)`,
      "UPDATE t SET k = 'K' WHERE k = 'k'; UPDATE t SET j = 1.0, v = 2 WHERE k = 'l'",
    );
    const key = ['k', 'j'];
    expect(list).toHaveLength(4);
    expect(list.slice(0, 2).map(({ change }) => change)).toEqual(['delete', 'delete']);
    expect(list).toContainEqual({ table: 't', change: 'delete', key, before: { k: 'k', j: 1, v: 1 } });
    expect(list).toContainEqual({ table: 't', change: 'insert', key, row: { k: 'K', j: 1, v: 1 } });
    expect(list).toContainEqual({ table: 't', change: 'insert', key, row: { k: 'l', j: { real: '1.0' }, v: 2 } });
  });

  test('the rowid and the key, where a table has both; columns may have any name', () => {
    const list = changes(
      `CREATE TABLE "o'dd ""t"("(rowid)" TEXT PRIMARY KEY, "__proto__", "1")`,
      `INSERT INTO "o'dd ""t" VALUES ('a', 'p', 2)`,
    );
    expect(JSON.stringify(list)).toBe(
      `[{"table":"o'dd \\"t","change":"insert","key":["(rowid)"],"rowid":1,"row":{"1":2,"(rowid)":"a","__proto__":"p"}}]`,
    );
  });
});

test('generated columns follow from the others; strict tables keep their types', () => {
  expect(
    changes(
      `CREATE TABLE g(id INTEGER PRIMARY KEY, x INT, y AS (x * 2), z INT AS (x + 1) STORED); INSERT INTO g(x) VALUES (1);
       CREATE TABLE s(id INTEGER PRIMARY KEY, a ANY, r REAL) STRICT; INSERT INTO s VALUES (1, 1, 2)`,
      "UPDATE g SET x = 5; UPDATE s SET a = '1', r = 3",
    ),
  ).toEqual([
    { table: 'g', change: 'update', key: ['id'], row: { id: 1, x: 5 }, before: { id: 1, x: 1 } },
    {
      table: 's',
      change: 'update',
      key: ['id'],
      row: { id: 1, a: '1', r: { real: '3.0' } },
      before: { id: 1, a: 1, r: { real: '2.0' } },
    },
  ]);
});

test('a table as wide as SQLite allows', () => {
  const columns = Array.from({ length: 1999 }, (_, i) => `c${i}`);
  const table = `CREATE TABLE t(id INTEGER PRIMARY KEY, ${columns.join(', ')}); INSERT INTO t(id, c0) VALUES (1, 1)`;
  const [change, ...rest] = changes(table, 'UPDATE t SET c1998 = 5');
  expect(rest).toEqual([]);
  expect(Object.keys(change?.row ?? {})).toHaveLength(2000);
  expect([change?.row?.c1998, change?.before?.c1998, change?.row?.c0]).toEqual([5, null, 1]);
});

describe('what is no row', () => {
  const problems = (both: string, then: string): Record<string, unknown> =>
    Object.fromEntries(changes(both, then).map(({ table, problem }) => [table ?? '', problem]));

  test('columns that differ are named with the numbers of rows', () => {
    const both = 'CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)';
    expect(problems(both, 'ALTER TABLE t ADD COLUMN c; INSERT INTO t VALUES (1, 2, 3)').t).toBe(
      'its definition differs (only here: c): its 2 row(s), 1 in the log, are not compared',
    );
    expect(problems(both, 'ALTER TABLE t DROP COLUMN b').t).toContain('only in the log: b');
    expect(
      problems('CREATE TABLE t(k PRIMARY KEY, v)', 'DROP TABLE t; CREATE TABLE t(k PRIMARY KEY, v) WITHOUT ROWID').t,
    ).toContain('a rowid on one side only');
  });

  test('the same columns in another order or of another type are compared by their names', () => {
    const list = changes(
      'CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2), (3, 4)',
      'DROP TABLE t; CREATE TABLE t(b, a TEXT); INSERT INTO t(a, b) VALUES (1, 2), (3, 4)',
    );
    expect(list[0]?.problem).toContain('definition differs; its rows are compared');
    expect(list.slice(1)).toEqual([
      { table: 't', change: 'update', rowid: 1, row: { b: 2, a: '1' }, before: { b: 2, a: 1 } },
      { table: 't', change: 'update', rowid: 2, row: { b: 4, a: '3' }, before: { b: 4, a: 3 } },
    ]);
  });

  test('a table that only the kept database has is made, and its rows are listed; one that it has not is named', () => {
    const list = changes(
      'CREATE TABLE gone(x); INSERT INTO gone VALUES (1)',
      'DROP TABLE gone; CREATE TABLE made(x); INSERT INTO made VALUES (1)',
    );
    expect(list).toEqual([
      {
        table: 'made',
        change: 'create',
        problem: expect.stringContaining('only in the kept'),
        sql: 'CREATE TABLE made(x)',
      },
      { table: 'made', change: 'insert', rowid: 1, row: { x: 1 } },
      { table: 'gone', problem: 'the table is missing in the kept database (1 row(s) in the log)' },
    ]);
  });

  test('indexes, triggers, views, counters, statistics and numbers of the application are named', () => {
    const both = `CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, x); CREATE INDEX i ON t(x); CREATE VIEW v AS SELECT x FROM t;
      CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; INSERT INTO t(x) VALUES (1); ANALYZE`;
    expect(changes(both, '')).toEqual([]);
    const list = changes(
      both,
      `DROP INDEX i; CREATE INDEX j ON t(x); DROP VIEW v; CREATE VIEW v AS SELECT id FROM t; DROP TRIGGER g;
       INSERT INTO t(x) VALUES (2); DELETE FROM t WHERE id = 2; ANALYZE; PRAGMA user_version = 3; PRAGMA application_id = 9`,
    );
    const said = list.map(({ table, problem }) => `${table}: ${problem}`).join('\n');
    expect(list.every(({ change }) => change === undefined)).toBe(true);
    for (const part of [
      'PRAGMA user_version is 3 here and 0 in the log',
      'PRAGMA application_id is 9 here',
      't: index "i" is missing in the kept database',
      't: index "j" exists only in the kept database',
      'v: view "v" has another definition',
      't: trigger "g" is missing',
      'sqlite_sequence: counters of AUTOINCREMENT differ',
      "sqlite_stat1: SQLite's own data differ",
    ])
      expect(said).toContain(part);
  });

  test('a virtual table is named when what it stores differs; its own tables are not listed', () => {
    const both = `CREATE VIRTUAL TABLE f USING fts5(x, y); CREATE VIRTUAL TABLE f_x USING fts5(z); CREATE VIRTUAL TABLE r USING rtree(id, a, b);
      INSERT INTO f VALUES ('a', 'b'); INSERT INTO r VALUES (1, 2, 3)`;
    expect(changes(both, '')).toEqual([]);
    const list = changes(both, "INSERT INTO f_x VALUES ('c')");
    expect(list).toEqual([{ table: 'f_x', problem: expect.stringMatching(/virtual table.*differs \(f_x_/) }]);
    expect(changes(both, 'UPDATE r SET b = 4').map(({ table }) => table)).toEqual(['r']);
  });

  test('a table that cannot be read, and the rest of one that ends early, are named; others are compared', () => {
    const fork = database('CREATE TABLE a(x); CREATE TABLE b(x)');
    const fill = 'WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO a SELECT i FROM n';
    const kept = database(`CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO b VALUES (1); ${fill}`);
    spoilLastPage(kept);
    const { changes: list, summary } = listed(kept, fork);
    const [a, b] = summary.tables;
    expect(a).toMatchObject({ table: 'a', problem: expect.stringContaining('could not be read to its end') });
    expect(a?.rows).toBeGreaterThan(0);
    expect(list.filter(({ table, change }) => table === 'a' && change === 'insert')).toHaveLength(a?.rows ?? 0);
    expect(list).toContainEqual({ table: 'a', problem: a?.problem });
    expect(b).toMatchObject({ table: 'b', rows: 1 });
    expect(list).toContainEqual({ table: 'b', change: 'insert', rowid: 1, row: { x: 1 } });
  });
});

test('a collation that only the application knows keeps nothing from being compared but a key without rowid', () => {
  const unknown = (sql: string): string => {
    const path = database(sql);
    writeFileSync(path, readFileSync(path).toString('latin1').replaceAll('COLLATE NOCASE', 'COLLATE NOSUCH'), 'latin1');
    return path;
  };
  const tables = `CREATE TABLE t(x TEXT COLLATE NOCASE UNIQUE); CREATE TABLE u(rowid TEXT COLLATE NOCASE, _rowid_, oid);
    CREATE TABLE w(k TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;`;
  const fill = (value: string) => `INSERT INTO t VALUES ('${value}'); INSERT INTO u(rowid) VALUES ('${value}')`;
  const { changes: list } = listed(unknown(tables + fill('A')), unknown(tables + fill('a')));
  expect(list).toEqual([
    { table: 't', change: 'update', rowid: 1, row: { x: 'A' }, before: { x: 'a' } },
    { table: 'u', change: 'delete', rowid: null, before: { rowid: 'a', _rowid_: null, oid: null } },
    { table: 'u', change: 'insert', rowid: null, row: { rowid: 'A', _rowid_: null, oid: null } },
    { table: 'w', problem: expect.stringContaining('no such collation sequence: NOSUCH') },
  ]);
});

test('a row too long is named with its length, and a list too long with what is left of it', () => {
  const both = 'CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 0)';
  const [long, short] = changes(both, "UPDATE t SET x = zeroblob(2000000); INSERT INTO t VALUES (2, 'a')");
  expect(long).toEqual({ table: 't', change: 'update', key: ['id'], tooLongBytes: 2_000_003 });
  expect(short).toMatchObject({ change: 'insert', row: { id: 2, x: 'a' } });
  const kept = database(`${both}; INSERT INTO t VALUES (2, 1), (3, 1), (4, 1); CREATE TABLE u AS SELECT * FROM t`);
  for (const limits of [{ rows: 2 }, { bytes: 100 }]) {
    const lines: DivergenceChange[] = [];
    const { rows, tables } = listChanges(kept, database(both), (line) => lines.push(JSON.parse(line)), limits);
    expect(rows).toBe(7);
    const [t, u] = tables;
    expect(t).toEqual({ table: 't', rows: 3, inserted: 3, updated: 0, deleted: 0, problem: expect.any(String) });
    expect(u).toMatchObject({ rows: 4, inserted: 4 });
    for (const { table, rows: all } of tables) {
      const shown = lines.filter((line) => line.table === table && line.change === 'insert').length;
      expect(lines).toContainEqual({ table, problem: expect.stringContaining(`${all - shown} more row(s) differ`) });
    }
  }
});
