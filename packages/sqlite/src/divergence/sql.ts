/**
 * Changes of a divergence as SQL that carries them over to another database of the same schema. Updates and deletes
 * only touch rows that are still as the log had them: what has changed since is left alone. Pure.
 */
import type { DivergenceChange } from './listing.ts';

/** Not a column: what names a row of a table that has no key of its own. */
const ROWID = '(rowid)';

/** One statement, or a comment for what can't be one. Ends without a line break. */
export function changeToSql(change: DivergenceChange): string {
  const { table, row, before } = change;
  if (change.tooLongBytes !== undefined)
    return comment(
      `a row of ${table ?? 'a table'} is too long (${change.tooLongBytes} bytes): take it from the kept file`,
    );
  if (table === undefined || change.change === undefined)
    return comment(`${table === undefined ? '' : `${table}: `}${change.problem ?? 'nothing that is known'}`);
  if (change.change === 'insert') return insert(table, row ?? {});
  if (change.change === 'delete') return `DELETE FROM ${name(table)} WHERE ${same(before ?? {})};`;
  const set = columns(row ?? {}).filter((column) => cell(row?.[column]) !== cell(before?.[column]));
  if (set.length === 0) return comment(`${table}: only the place of a row differs`);
  const values = set.map((column) => `${name(column)} = ${cell(row?.[column])}`);
  return `UPDATE ${name(table)} SET ${values.join(', ')} WHERE ${same(before ?? {})};`;
}

function insert(table: string, row: Readonly<Record<string, unknown>>): string {
  const names = columns(row);
  return `INSERT INTO ${name(table)} (${names.map(name).join(', ')}) VALUES (${names.map((column) => cell(row[column])).join(', ')});`;
}

function same(row: Readonly<Record<string, unknown>>): string {
  return columns(row)
    .map((column) => `${name(column)} IS ${cell(row[column])}`)
    .join(' AND ');
}

function columns(row: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(row).filter((column) => column !== ROWID);
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'object' && 'hex' in value) return `x'${String(value.hex).replaceAll(/[^0-9a-f]/gi, '')}'`;
  const text = String(value);
  // A NUL ends a statement's text: such a text travels as its bytes.
  if (text.includes('\0')) return `CAST(x'${Buffer.from(text).toString('hex')}' AS TEXT)`;
  return `'${text.replaceAll("'", "''")}'`;
}

function name(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

function comment(text: string): string {
  return `-- ${text.replaceAll(/[\r\n]+/g, ' ')}`;
}
