/**
 * Random tables, rows and changes in every encoding: the list, carried over to the survivor's rows, gives exactly the
 * divergent rows, and so does its SQL wherever something names a row.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { carriedOver, carriedOverBySql, listed, rowsOf, type TableView, textBytes } from './round-trip.ts';

const directory = mkdtempSync(join(tmpdir(), 'canopy-round-trip-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const COLUMNS = ['a', 'b', 'c'] as const;

interface Kind extends TableView {
  readonly sql: string;
}

function kind(table: string, sql: string, name: readonly string[], columns: readonly string[] = COLUMNS): Kind {
  return { table, sql: `CREATE TABLE "${table}"${sql}`, name, columns };
}

const KINDS: readonly Kind[] = [
  kind('plain', '(a TEXT COLLATE NOCASE, b COLLATE RTRIM, c NUMERIC)', ['rowid']),
  kind('keyed', '(id INTEGER PRIMARY KEY, a, b REAL, c TEXT)', ['id'], ['id', 'a', 'b', 'c']),
  kind('text key', '(a TEXT COLLATE NOCASE PRIMARY KEY, b, c)', ['rowid']),
  kind('no rowid', '(a COLLATE NOCASE, b COLLATE RTRIM, c, PRIMARY KEY(a, b DESC)) WITHOUT ROWID', ['a', 'b']),
  kind('shadowed', '(rowid TEXT COLLATE NOCASE, OID, c)', ['_rowid_'], ['rowid', 'OID', 'c']),
  kind('"unnamed"', '(rowid COLLATE NOCASE, _rowid_, oid)', [], ['rowid', '_rowid_', 'oid']),
  kind('generated', '(a, v AS (a || 1), b INTEGER, s INT AS (b + 1) STORED, c)', ['rowid']),
  kind('strict', '(a ANY, b REAL, c TEXT COLLATE RTRIM) STRICT', ['rowid']),
  kind('no key"', '(a, b BLOB, c TEXT)', ['rowid']),
].map((one) => ({
  ...one,
  table: one.table.replaceAll('"', "'"),
  sql: one.sql.replace(/"(.*)"\(/, (_, name) => `"${name.replaceAll('"', "'")}"(`),
}));

/** SQL of a value. */
type Value = string;

const text = fc.string({ unit: 'grapheme', maxLength: 4 }).map((value) => ({ text: value }));
const near = fc.constantFrom<Value>("'a'", "'A'", "'a '", "x'61'", '1', '1.0', "'1'", '0', '0.0', '-0.0');
const value = fc.oneof(
  { weight: 5, arbitrary: near },
  fc.constantFrom<Value>(
    'NULL',
    "''",
    "x''",
    '9e999',
    '-9e999',
    '1e300',
    '0.1',
    "CAST(x'ff41' AS TEXT)",
    "CAST(x'00d8' AS TEXT)",
  ),
  fc.constantFrom<Value>(
    '9007199254740993',
    '9007199254740992.0',
    '9223372036854775807',
    '-9223372036854775808',
    "'a' || char(0) || 'b'",
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(realLiteral),
  fc.uint8Array({ maxLength: 4 }).map((bytes): Value => `x'${Buffer.from(bytes).toString('hex')}'`),
  text,
);

function realLiteral(number: number): Value {
  const digits = String(number);
  return /^-?\d+$/.test(digits) ? `${digits}.0` : digits;
}

const operation = fc.record({
  op: fc.constantFrom('insert' as const, 'update' as const, 'update' as const, 'delete' as const),
  row: fc.nat({ max: 4 }),
  column: fc.nat({ max: 2 }),
  values: fc.tuple(value, value, value, fc.constantFrom('NULL', '3', '4', '-5', '1152921504606846977')),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function run(
  connection: DatabaseSync,
  encoding: string,
  { op, row, column, values }: Operation,
  { table, columns, name }: Kind,
): void {
  const cells = values.map((cell) =>
    typeof cell === 'string' ? cell : `CAST(x'${textBytes(cell.text, encoding).toString('hex')}' AS TEXT)`,
  );
  const quoted = columns.map((one) => `"${one}"`);
  const place = (name.length === 0 ? quoted.slice(0, 1) : name).join(', ');
  const where = `WHERE (${place}) IN (SELECT ${place} FROM "${table}" LIMIT 1 OFFSET ${row})`;
  const id = columns.length === 4 ? [cells[3] as string] : [];
  try {
    if (op === 'insert')
      connection.exec(
        `INSERT OR REPLACE INTO "${table}"(${quoted.join(', ')}) VALUES (${[...id, ...cells.slice(0, 3)].join(', ')})`,
      );
    else if (op === 'delete') connection.exec(`DELETE FROM "${table}" ${where}`);
    else connection.exec(`UPDATE OR IGNORE "${table}" SET ${quoted.at(column - 3)} = ${cells[column]} ${where}`);
  } catch (error) {
    // A strict table or a key may refuse a value; then there is no change.
    if (!/cannot store|NOT NULL|datatype mismatch/.test(String(error))) throw error;
  }
}

let made = 0;

test.each(['UTF-8', 'UTF-16le', 'UTF-16be'])(
  'a list carried over gives the divergent rows, %s',
  { timeout: 120_000 },
  (encoding) => {
    const operations = fc.array(operation, { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(fc.constantFrom(...KINDS), operations, operations, (view, common, own) => {
        const [fork, kept, target] = paths();
        change(fork, `PRAGMA encoding = '${encoding}'; ${view.sql}`, (file) => {
          for (const one of common) run(file, encoding, one, view);
        });
        copyFileSync(fork, kept);
        change(kept, '', (file) => {
          for (const one of own) run(file, encoding, one, view);
        });
        const { changes, summary } = listed(kept, fork);
        expect(changes.filter(({ problem }) => problem !== undefined)).toEqual([]);
        expect(summary.rows).toBe(changes.length);
        expect(sorted(carriedOver(rowsOf(fork, view), changes, view, encoding))).toEqual(sorted(rowsOf(kept, view)));
        // Equal rows are left alone by SQL, and keys that swap places can't be carried over one statement at a time.
        if (view.name.length > 0 && view.table !== 'text key') {
          carriedOverBySql(fork, changes, target);
          expect(sqlRows(target, view)).toEqual(sqlRows(kept, view));
          rmSync(target);
        }
        for (const path of [fork, kept]) rmSync(path);
      }),
      { numRuns: 80 },
    );
  },
);

function paths(): [string, string, string] {
  const [a, b, c] = ['fork', 'kept', 'target'].map((name) => join(directory, `${made}-${name}`));
  made += 1;
  return [a as string, b as string, c as string];
}

function change(path: string, sql: string, work: (connection: DatabaseSync) => void): void {
  const connection = new DatabaseSync(path);
  try {
    connection.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; ${sql}`);
    work(connection);
  } finally {
    connection.close();
  }
}

function sorted(rows: ReadonlyMap<string, string>): string[] {
  return [...rows].map(([name, row]) => `${name}: ${row}`).sort();
}

/** As SQL a row gets a rowid of its own. */
function sqlRows(path: string, view: TableView): string[] {
  return [...rowsOf(path, { ...view, name: [] }).values()].sort();
}
