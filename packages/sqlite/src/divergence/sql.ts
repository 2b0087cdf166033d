/**
 * Changes of a divergence as SQL that carries them over to another database of the same schema, with values of the same
 * storage class and bytes. Updates and deletes only touch rows that are still exactly as the log had them, and never more than one
 * row: what has changed since, or can't be told from another row, is left alone. Pure.
 */
import type { DivergenceChange } from './listing.ts';

type Row = Readonly<Record<string, unknown>>;
/** A column's name as SQL, its value, and that as SQL. */
type Cell = readonly [column: string, value: unknown, text: string];

/** Of lists of earlier versions: not a column, but what names a row of a table that has no key of its own. */
const ROWID = '(rowid)';

/** One statement, or a comment for what can't be one. Ends without a line break. */
export function changeToSql(change: DivergenceChange): string {
  const { table, row = {}, before = {} } = change;
  if (change.tooLongBytes !== undefined)
    return comment(
      `a row of ${table ?? 'a table'} is too long (${change.tooLongBytes} bytes): take it from the kept file`,
    );
  if (table === undefined || change.change === undefined || change.change === 'create') return noRow(change);
  if (change.change === 'insert') return insert(table, columns(row, change), row);
  const was = columns(before, change).map((column): Cell => [name(column), before[column], literal(before[column])]);
  const which = one(table, was, change);
  if (change.change === 'delete') return `DELETE FROM ${name(table)} WHERE ${which};`;
  const old = new Map(was.map(([column, , text]) => [column, text]));
  const values = columns(row, change)
    .map((column) => [name(column), literal(row[column])] as const)
    .filter(([column, text]) => old.get(column) !== text)
    .map(([column, text]) => `${column} = ${text}`);
  if (values.length === 0) return comment(`${table}: only the place of a row differs`);
  return `UPDATE ${name(table)} SET ${values.join(', ')} WHERE ${which};`;
}

/** A table whose rows follow is made; what else differs in the schema is for people to decide. */
function noRow({ table, change, problem = 'nothing that is known', sql }: DivergenceChange): string {
  const said = comment(`${table === undefined ? '' : `${table}: `}${problem}`);
  if (sql === undefined) return said;
  if (change === 'create' && /^create table\s/i.test(sql)) return `${said}\n${sql}\n;`;
  return `${said}\n${comment(`in the kept database: ${sql}`)}`;
}

function insert(table: string, names: readonly string[], row: Row): string {
  return `INSERT INTO ${name(table)} (${names.map(name).join(', ')}) VALUES (${names.map((column) => literal(row[column])).join(', ')});`;
}

/** A key without NULLs names one row, and so does a rowid; where there is neither, a row is meant only when it has no equals. */
function one(table: string, before: readonly Cell[], change: DivergenceChange): string {
  if (isOld(change)) return before.map(([column, , text]) => `${column} IS ${text}`).join(' AND ');
  const same = before.map(isExactly).join(' AND ');
  const names = new Set(change.key?.map(name));
  const key = before.filter(([column, value]) => names.has(column) && (value ?? null) !== null);
  // An index of the key in another collation than BINARY finds a text only when none is named; the rest is exact.
  const texts = key.filter(([, value]) => storageClass(value) === 'text');
  const found = texts.map(([column, , text]) => `${column} = ${text}`);
  if (key.length > 0 && key.length === change.key?.length) return [...found, same].join(' AND ');
  if (change.rowid !== null) return `${rowidName(before)} = ${literal(change.rowid)} AND ${same}`;
  return `${same} AND (SELECT count(*) FROM ${name(table)} WHERE ${same}) = 1`;
}

function rowidName(before: readonly Cell[]): string {
  const taken = new Set(before.map(([column]) => column.toLowerCase()));
  return ['rowid', '_rowid_', 'oid'].find((alias) => !taken.has(`"${alias}"`)) ?? 'rowid';
}

/** Lists of earlier versions don't say what names a row, nor always of which storage class a value is. */
function isOld(change: DivergenceChange): boolean {
  return change.rowid === undefined && change.key === undefined;
}

function columns(row: Row, change: DivergenceChange): string[] {
  const names = Object.keys(row);
  return isOld(change) ? names.filter((column) => column !== ROWID) : names;
}

/** The column's affinity may turn the literal into another class, which is why the column's own is asked for. */
function isExactly([column, value, text]: Cell): string {
  if (text === 'NULL') return `${column} IS NULL`;
  const kind = storageClass(value);
  return `(${column} IS ${text}${kind === 'text' ? ' COLLATE BINARY' : ''} AND typeof(${column}) = '${kind}')`;
}

function storageClass(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'real';
  if (typeof value !== 'object' || value === null || 'textHex' in value) return 'text';
  if ('int' in value) return 'integer';
  return 'real' in value ? 'real' : 'blob';
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'object') return textLiteral(String(value));
  if ('int' in value) return number(String(value.int), /^-?\d+$/);
  if ('real' in value) return number(String(value.real).replace('Infinity', '9e999'), /^-?\d+(\.\d+)?(e[+-]?\d+)?$/);
  const isText = 'textHex' in value;
  const digits = String(isText ? value.textHex : (value as { hex?: unknown }).hex);
  const bytes = `x'${/^[0-9a-f]*$/i.test(digits) ? digits : ''}'`;
  return isText ? `CAST(${bytes} AS TEXT)` : bytes;
}

/** What a list says is never run as anything but a value. */
function number(text: string, form: RegExp): string {
  return form.test(text) ? text : textLiteral(text);
}

/** A NUL ends a statement's text: such a text is put together. */
function textLiteral(text: string): string {
  if (!text.includes('\0')) return quoted(text, "'");
  return `(${text
    .split('\0')
    .map((part) => quoted(part, "'"))
    .join(' || char(0) || ')})`;
}

function name(text: string): string {
  return quoted(text, '"');
}

function quoted(text: string, mark: string): string {
  return `${mark}${text.includes(mark) ? text.replaceAll(mark, mark + mark) : text}${mark}`;
}

function comment(text: string): string {
  return `-- ${text.replaceAll(/[\r\n]+/g, ' ')}`;
}
