/** Carries a list of changes over to the rows of the survivor, by the list alone, and reads rows so exactly that nothing is equal but itself. */
import { copyFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { type ChangesSummary, listChanges } from '../../src/divergence/changes.ts';
import type { DivergenceChange } from '../../src/divergence/listing.ts';
import { changeToSql } from '../../src/divergence/sql.ts';

export function listed(kept: string, fork: string): { summary: ChangesSummary; changes: DivergenceChange[] } {
  const changes: DivergenceChange[] = [];
  const summary = listChanges(kept, fork, (line) => changes.push(JSON.parse(line)));
  return { summary, changes };
}

/** What is read of a table: its columns, and what names its rows (nothing: a multiset). */
export interface TableView {
  readonly table: string;
  readonly columns: readonly string[];
  readonly name: readonly string[];
}

type Rows = Map<string, string>;

/** Rows by their names; equal rows of a multiset are numbered. */
export function rowsOf(path: string, { table, columns, name }: TableView): Rows {
  const connection = new DatabaseSync(path);
  try {
    const cell = (column: string): string => `typeof(${column}), ${column}, hex(CAST(${column} AS BLOB))`;
    const statement = connection.prepare(
      `SELECT ${[...name, ...columns.map((column) => `"${column}"`)].map(cell).join(', ')} FROM "${table}"`,
    );
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    const rows: Rows = new Map();
    for (const read of statement.all() as unknown as unknown[][]) {
      const cells = [];
      for (let i = 0; i < read.length; i += 3) cells.push(canonical(read.slice(i, i + 3)));
      const text = cells.slice(name.length).join(' ');
      add(rows, name.length === 0 ? text : cells.slice(0, name.length).join(' '), text, name.length === 0);
    }
    return rows;
  } finally {
    connection.close();
  }
}

function canonical([kind, value, bytes]: unknown[]): string {
  if (kind === 'real') return `r${Object.is(value, -0) ? '-0' : String(value)}`;
  if (kind === 'integer') return `i${value}`;
  return kind === 'null' ? 'n' : `${kind === 'text' ? 't' : 'b'}${bytes}`;
}

/** A cell of the list in the same form; its texts as the database encodes them. */
function told(cell: unknown, encoding: string): string {
  if (cell === null) return 'n';
  if (typeof cell === 'number') return Number.isInteger(cell) ? `i${cell}` : `r${cell}`;
  if (typeof cell === 'string') return `t${textBytes(cell, encoding).toString('hex').toUpperCase()}`;
  const { int, real, hex, textHex } = cell as Record<string, string>;
  if (int !== undefined) return `i${int}`;
  if (real !== undefined) return `r${Object.is(Number(real), -0) ? '-0' : Number(real)}`;
  return hex === undefined ? `t${textHex?.toUpperCase()}` : `b${hex.toUpperCase()}`;
}

export function textBytes(text: string, encoding: string): Buffer {
  if (encoding === 'UTF-8') return Buffer.from(text);
  const little = Buffer.from(text, 'utf16le');
  return encoding === 'UTF-16be' ? little.swap16() : little;
}

/** The survivor's rows with the changes made to them. Throws where a line does not fit what is there. */
export function carriedOver(
  before: Rows,
  changes: readonly DivergenceChange[],
  view: TableView,
  encoding: string,
): Rows {
  const rows = new Map(before);
  const isMultiset = view.name.length === 0;
  for (const change of changes.filter(({ table }) => table === view.table)) {
    const text = (row: DivergenceChange['row']): string =>
      view.columns.map((column) => told(row?.[column], encoding)).join(' ');
    const nameOf = (row: DivergenceChange['row']): string => {
      if (isMultiset) return text(row);
      if (change.rowid !== undefined) return told(change.rowid, encoding);
      return (change.key ?? []).map((column) => told(row?.[column], encoding)).join(' ');
    };
    if (change.before !== undefined) remove(rows, nameOf(change.before), text(change.before), isMultiset);
    if (change.row !== undefined) add(rows, nameOf(change.row), text(change.row), isMultiset);
  }
  return rows;
}

function add(rows: Rows, name: string, text: string, isMultiset: boolean): void {
  let key = name;
  for (let i = 2; isMultiset && rows.has(key); i++) key = `${name} #${i}`;
  if (rows.has(key)) throw new Error(`there is a row ${key} already`);
  rows.set(key, text);
}

function remove(rows: Rows, name: string, text: string, isMultiset: boolean): void {
  let key = name;
  for (let i = 2; isMultiset && rows.has(`${name} #${i}`); i++) key = `${name} #${i}`;
  if (rows.get(key) !== text) throw new Error(`row ${key} is ${rows.get(key)}, not ${text}`);
  rows.delete(key);
}

/** The survivor's file with the changes run as SQL, in `target`. */
export function carriedOverBySql(fork: string, changes: readonly DivergenceChange[], target: string): void {
  copyFileSync(fork, target);
  const connection = new DatabaseSync(target);
  try {
    connection.exec(`BEGIN; ${changes.map(changeToSql).join('\n')}\nCOMMIT;`);
  } finally {
    connection.close();
  }
}
