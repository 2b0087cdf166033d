/**
 * The readable side of a divergence: which rows differ between the file that is kept and the log's state at the fork,
 * one JSON object a line. It is for people: the kept database itself is the complete record. Tables whose shape differs,
 * and virtual tables, are named with the reason instead of being compared.
 */
import { DatabaseSync } from 'node:sqlite';

/** Rows listed per table; the count goes on beyond it. */
const ROWS_LISTED_MAX = 100_000;

export interface ChangesSummary {
  /** Rows that differ, in all tables compared. */
  readonly rows: number;
  readonly tables: readonly { readonly table: string; readonly rows: number; readonly problem?: string }[];
}

interface Table {
  readonly name: string;
  readonly sql: string;
}

/**
 * Compares `kept` with `fork` (both complete, closed SQLite files) and hands each line to `write`. Neither file is
 * changed. A table that cannot be read is reported as such; the rest is still compared.
 */
export function listChanges(kept: string, fork: string, write: (line: string) => void): ChangesSummary {
  const connection = new DatabaseSync(kept, { readOnly: true, timeout: 1000 });
  try {
    connection.prepare('ATTACH DATABASE ? AS fork').run(fork);
    const before = new Map(tablesOf(connection, 'fork').map((table) => [table.name, table]));
    const now = tablesOf(connection, 'main');
    const tables: { table: string; rows: number; problem?: string }[] = [];
    const note = (table: string, problem: string): void => {
      tables.push({ table, rows: 0, problem });
      write(JSON.stringify({ table, problem }));
    };
    for (const table of now) {
      const old = before.get(table.name);
      before.delete(table.name);
      if (/^\s*create\s+virtual/i.test(table.sql)) note(table.name, 'virtual table, not compared');
      else if (old === undefined) note(table.name, 'table exists only in the kept database');
      else if (old.sql !== table.sql) note(table.name, 'its definition differs; compare it by hand');
      else tables.push({ table: table.name, ...compareTable(connection, table.name, write) });
    }
    for (const name of before.keys()) note(name, 'table is missing in the kept database');
    return { rows: tables.reduce((sum, table) => sum + table.rows, 0), tables };
  } finally {
    connection.close();
  }
}

function tablesOf(connection: DatabaseSync, schema: 'main' | 'fork'): Table[] {
  return connection
    .prepare(
      `SELECT name, sql FROM ${schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`,
    )
    .all()
    .map((row) => ({ name: String(row.name), sql: String(row.sql) }));
}

function compareTable(
  connection: DatabaseSync,
  name: string,
  write: (line: string) => void,
): { rows: number; problem?: string } {
  try {
    return { rows: compareRows(connection, name, write) };
  } catch (error) {
    const problem = `could not be read: ${(error as Error).message}`;
    write(JSON.stringify({ table: name, problem }));
    return { rows: 0, problem };
  }
}

/** Rows are the same when all columns are; a row whose key exists on both sides was updated. */
function compareRows(connection: DatabaseSync, name: string, write: (line: string) => void): number {
  const table = quote(name);
  const key = keyOf(connection, name);
  const columns = key.rowid ? 'rowid AS "(rowid)", *' : '*';
  const match = key.columns.map((column) => `${column} IS ?`).join(' AND ');
  const select = (schema: string): string => `SELECT ${columns} FROM ${schema}.${table}`;
  const rows = connection.prepare(`${select('main')} EXCEPT ${select('fork')}`);
  const gone = connection.prepare(`${select('fork')} EXCEPT ${select('main')}`);
  const forkRow = connection.prepare(`${select('fork')} WHERE ${match}`);
  const keptRow = connection.prepare(`SELECT 1 FROM main.${table} WHERE ${match}`);
  for (const statement of [rows, gone, forkRow, keptRow]) statement.setReadBigInts(true);
  const keyValues = (row: Row): Cell[] => key.names.map((column) => row[column] as Cell);
  let count = 0;
  const report = (line: object): void => {
    count += 1;
    if (count <= ROWS_LISTED_MAX) write(JSON.stringify({ table: name, ...line }, showCell));
  };
  for (const row of rows.iterate() as Iterable<Row>) {
    const before = forkRow.get(...keyValues(row)) as Row | undefined;
    if (before === undefined) report({ change: 'insert', row });
    else report({ change: 'update', row, before });
  }
  for (const row of gone.iterate() as Iterable<Row>)
    if (keptRow.get(...keyValues(row)) === undefined) report({ change: 'delete', before: row });
  return count;
}

type Cell = null | number | bigint | string | Uint8Array;
type Row = Record<string, Cell>;

/** What names a row on both sides: the rowid, or the primary key of a table without one. */
function keyOf(connection: DatabaseSync, name: string): { rowid: boolean; columns: string[]; names: string[] } {
  const list = connection.prepare('SELECT wr FROM pragma_table_list WHERE schema = ? AND name = ?').get('main', name);
  if (Number(list?.wr ?? 0) === 0) return { rowid: true, columns: ['rowid'], names: ['(rowid)'] };
  const info = connection.prepare('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk').all(name);
  const names = info.map((row) => String(row.name));
  return { rowid: false, columns: names.map(quote), names };
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** JSON has neither 64-bit whole numbers nor bytes. */
function showCell(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  return value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value;
}
