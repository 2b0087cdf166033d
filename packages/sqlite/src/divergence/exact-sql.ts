/**
 * SQL that compares and reads values exactly. Two values are the same when their storage class and their bytes are: what the
 * column's collation or affinity would make equal is not, nor are the two zeros of a real.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type ChangeCell, cellEncoder, type RawCell } from './cell.ts';
import { quoteName, type TableShape } from './table-shape.ts';

/** SQL function: 1 for the zero that has a sign, which SQLite takes for the other one. */
const NEGATIVE_ZERO = 'canopy_negative_zero';

export type Encode = (raw: RawCell) => ChangeCell;

/** Makes a connection ready for these expressions; the answer encodes what is read over it. */
export function prepareExactness(connection: DatabaseSync): Encode {
  const options = { deterministic: true, directOnly: true, useBigIntArguments: true };
  connection.function(NEGATIVE_ZERO, options, (value) => (Object.is(value, -0) ? 1 : 0));
  return cellEncoder(String(connection.prepare('PRAGMA main.encoding').get()?.encoding));
}

/** The plus takes the column's affinity away, which would turn a text into a number to compare it. */
export function exactly(left: string, right: string): string {
  return `(+${left} IS +${right} COLLATE BINARY AND typeof(${left}) = typeof(${right}) AND NOT (${isZero(left)} AND ${NEGATIVE_ZERO}(${left}) <> ${NEGATIVE_ZERO}(${right})))`;
}

/** Names a collation here too: the column's own may be one that only the application knows. */
function isZero(column: string): string {
  return `typeof(${column}) = 'real' AND +${column} = 0.0 COLLATE BINARY`;
}

/** Terms by which equal values, and only they, fall into one group. */
export function groupTerms(column: string): string[] {
  const sign = `CASE WHEN ${isZero(column)} THEN ${NEGATIVE_ZERO}(${column}) END`;
  return [`typeof(${column})`, `+${column} COLLATE BINARY`, sign];
}

/** Bytes of the values of a row. */
export function sizeOf(columns: readonly string[], alias?: string): string {
  const names = columns.map((column) => (alias === undefined ? column : `${alias}.${quoteName(column)}`));
  return joined(
    names.map((name) => `ifnull(octet_length(${name}), 0)`),
    '+',
  );
}

/** As a balanced tree: SQLite allows an expression a depth of 1000 and a table 2000 columns. */
export function joined(parts: readonly string[], operator: string): string {
  if (parts.length === 1) return parts[0] as string;
  const middle = Math.ceil(parts.length / 2);
  return `(${joined(parts.slice(0, middle), operator)} ${operator} ${joined(parts.slice(middle), operator)})`;
}

/** A walk over a table with rowids is one over the table itself, never over an index that might not agree with it. */
export function source({ schema, name, hasRowid }: TableShape, alias: string): string {
  return `${schema}.${quoteName(name)} AS ${alias}${hasRowid ? ' NOT INDEXED' : ''}`;
}

/** Answers rows as arrays, integers as they are. */
export function exact(connection: DatabaseSync, sql: string): StatementSync {
  const statement = connection.prepare(sql);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  return statement;
}

export function iterate(connection: DatabaseSync, sql: string): Iterable<RawCell[]> {
  return exact(connection, sql).iterate() as unknown as Iterable<RawCell[]>;
}
