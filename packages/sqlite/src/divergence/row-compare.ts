/**
 * The rows of one table that two databases don't share, exactly: two values are the same when their storage class and
 * their bytes are, whatever the collations and affinities of the table say. A row is named by its rowid, or by its
 * primary key, byte for byte, in a table without one. Where the columns have taken every name of the rowid nothing names a row: such
 * tables are compared as multisets. SQLite does the comparing, by one walk per kind of change with a lookup per row, so
 * memory has a bound and time grows with the rows; only a multiset is sorted, in SQLite's temporary files.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { type RawCell, rawCell } from './cell.ts';
import { type Encode, exact, exactly, iterate, joined, sizeOf, source } from './exact-sql.ts';
import { MultisetComparison } from './multiset-compare.ts';
import { type ChangeKind, type ChangeRow, ROW_BYTES_MAX, type RowChange, type RowComparison } from './row-change.ts';
import { quoteName, type TableShape } from './table-shape.ts';

/** Columns asked for at a time; SQLite allows 2000. */
const COLUMNS_AT_A_TIME = 1000;

/** `kept` has the columns of `fork`, and their rows are named in the same way; without `fork` every row of `kept` is an insertion. */
export function compareRows(
  connection: DatabaseSync,
  encode: Encode,
  kept: TableShape,
  fork: TableShape | undefined,
): RowComparison {
  const isNamed = isRowNamed(kept) && (fork === undefined || isRowNamed(fork));
  if (!isNamed) return new MultisetComparison(connection, encode, kept, fork);
  return new NamedComparison(connection, encode, kept, fork);
}

function isRowNamed({ hasRowid, rowid }: TableShape): boolean {
  return !hasRowid || rowid !== undefined;
}

class NamedComparison implements RowComparison {
  readonly #connection: DatabaseSync;
  readonly #encode: Encode;
  readonly #kept: TableShape;
  readonly #fork: TableShape | undefined;

  constructor(connection: DatabaseSync, encode: Encode, kept: TableShape, fork: TableShape | undefined) {
    this.#connection = connection;
    this.#encode = encode;
    this.#kept = kept;
    this.#fork = fork;
  }

  *changes(isListed: () => boolean): Generator<RowChange> {
    const now = rowReader(this.#connection, this.#encode, this.#kept, this.#kept.columns);
    const then = this.#fork && rowReader(this.#connection, this.#encode, this.#fork, this.#kept.columns);
    const failures: unknown[] = [];
    for (const { change, sql } of this.#walks())
      try {
        for (const [sizeBytes, ...name] of iterate(this.#connection, sql)) {
          const line = { change, ...this.#nameOf(name) };
          if (!isListed()) yield { change };
          else if (Number(sizeBytes) > ROW_BYTES_MAX) yield { ...line, tooLongBytes: Number(sizeBytes) };
          else
            yield {
              ...line,
              ...(change === 'delete' ? {} : { row: now(name) }),
              ...(change === 'insert' || then === undefined ? {} : { before: then(name) }),
            };
        }
      } catch (error) {
        failures.push(error);
      }
    if (failures.length > 0) throw failures[0];
  }

  differs(): boolean {
    return this.#walks().some(({ sql }) => this.#connection.prepare(`${sql} LIMIT 1`).get() !== undefined);
  }

  #nameOf(name: readonly RawCell[]): Pick<RowChange, 'key' | 'rowid'> {
    const { key, hasRowid, isRowidKey } = this.#kept;
    return {
      ...(key.length === 0 ? {} : { key: key.map((column) => column.name) }),
      ...(hasRowid && !isRowidKey ? { rowid: this.#encode(name[0] ?? null) } : {}),
    };
  }

  #walks(): { change: ChangeKind; sql: string }[] {
    const kept = this.#kept;
    const fork = this.#fork;
    const { columns } = kept;
    const select = (alias: string, shape: TableShape, size: string): string =>
      `SELECT ${[size, ...nameColumns(shape, alias).map(rawCell)].join(', ')} FROM ${source(shape, alias)}`;
    const order = (alias: string, { hasRowid, rowid }: TableShape): string =>
      hasRowid ? ` ORDER BY ${alias}.${rowid}` : '';
    const all = select('m', kept, sizeOf(columns, 'm'));
    if (fork === undefined) return [{ change: 'insert', sql: `${all}${order('m', kept)}` }];
    const gone = `${select('f', fork, sizeOf(columns, 'f'))} WHERE NOT EXISTS (SELECT 1 FROM ${source(kept, 'm')} WHERE ${lookup(kept, 'm', fork, 'f')})`;
    const same = joined(
      columns.map((column) => exactly(`m.${quoteName(column)}`, `f.${quoteName(column)}`)),
      'AND',
    );
    const both = select('m', kept, `${sizeOf(columns, 'm')} + ${sizeOf(columns, 'f')}`);
    const changed = `${both} CROSS JOIN ${source(fork, 'f')} WHERE ${lookup(fork, 'f', kept, 'm')} AND NOT ${same}`;
    const made = `${all} WHERE NOT EXISTS (SELECT 1 FROM ${source(fork, 'f')} WHERE ${lookup(fork, 'f', kept, 'm')})`;
    return [
      { change: 'delete', sql: `${gone}${order('f', fork)}` },
      { change: 'update', sql: `${changed}${order('m', kept)}` },
      { change: 'insert', sql: `${made}${order('m', kept)}` },
    ];
  }
}

/** Reads a row by what names it. */
function rowReader(
  connection: DatabaseSync,
  encode: Encode,
  shape: TableShape,
  columns: readonly string[],
): (name: readonly RawCell[]) => ChangeRow {
  const match = shape.hasRowid
    ? `t.${shape.rowid} = ?`
    : shape.key
        .map(({ name, collation = 'BINARY' }) => `t.${quoteName(name)} = ${KEY_VALUE} COLLATE ${quoteName(collation)}`)
        .join(' AND ');
  const pieces: { statement: StatementSync; columns: readonly string[] }[] = [];
  for (let at = 0; at < columns.length; at += COLUMNS_AT_A_TIME) {
    const part = columns.slice(at, at + COLUMNS_AT_A_TIME);
    const cells = part.map((column) => rawCell(`t.${quoteName(column)}`));
    pieces.push({
      statement: exact(connection, `SELECT ${cells.join(', ')} FROM ${source(shape, 't')} WHERE ${match}`),
      columns: part,
    });
  }
  return (name) => {
    const values = shape.hasRowid ? [name[0] as bigint] : name.flatMap(keyValue);
    return Object.fromEntries(
      pieces.flatMap(({ statement, columns: part }) => {
        const cells = statement.get(...values) as unknown as RawCell[];
        return part.map((column, i) => [column, encode(cells[i] ?? null)]);
      }),
    );
  };
}

/** A text is handed over as its bytes: as a text it would have to be valid. */
const KEY_VALUE = '(CASE ? WHEN 1 THEN CAST(? AS TEXT) ELSE ? END)';

function keyValue(raw: RawCell): SQLInputValue[] {
  const value = typeof raw === 'string' ? Buffer.from(raw, 'hex') : raw;
  return raw instanceof Uint8Array ? [1, raw, null] : [0, null, value];
}

function nameColumns(shape: TableShape, alias: string): string[] {
  if (shape.hasRowid) return [`${alias}.${shape.rowid}`];
  return shape.key.map(({ name }) => `${alias}.${quoteName(name)}`);
}

/** Through the key's own index, in its collation, and then exactly. */
function lookup(wanted: TableShape, alias: string, by: TableShape, byAlias: string): string {
  if (wanted.hasRowid) return `${alias}.${wanted.rowid} = ${byAlias}.${by.rowid}`;
  return wanted.key
    .flatMap(({ name, collation = 'BINARY' }) => {
      const [left, right] = [`${alias}.${quoteName(name)}`, `${byAlias}.${quoteName(name)}`];
      return [`${left} = ${right} COLLATE ${quoteName(collation)}`, exactly(left, right)];
    })
    .join(' AND ');
}
