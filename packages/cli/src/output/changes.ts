/**
 * Changed rows in words: what was added, changed, removed. Cells are cut to what fits on a screen, and nothing that a
 * database holds reaches the terminal as a control character.
 */
import type { DivergencePiece, KeptDivergence } from '@canopy/platform';
import { type Cell, renderTable } from './table.ts';

type Change = DivergencePiece['changes'][number];
type Row = Readonly<Record<string, unknown>>;

const CELL_LENGTH = 60;
const BLOB_BYTES = 16;
const STATEMENT_LENGTH = 200;
const ROW_CELLS = 12;
/** Of lists of earlier versions: not a column, but what names a row of a table that has no key of its own. */
const ROWID = '(rowid)';

/** How many rows of which table; undefined where that was not counted. */
export function tableCounts(tables: KeptDivergence['tables']): string | undefined {
  const differing = tables?.filter(({ rows, problem }) => rows > 0 || problem !== undefined) ?? [];
  if (differing.length === 0) return undefined;
  return renderTable(
    ['TABLE', 'ROWS', 'ADDED', 'CHANGED', 'REMOVED', 'NOTE'],
    differing.map(({ table, rows, inserted, updated, deleted, problem }): Cell[] => [
      printable(table),
      rows,
      inserted,
      updated,
      deleted,
      problem === undefined ? '' : printable(problem),
    ]),
  );
}

export function tableHeading({ table }: Change): string {
  return table === undefined ? 'the database' : `table ${printable(table)}`;
}

export function changeLine(change: Change): string {
  const { row = {}, before = {}, problem, tooLongBytes, sql } = change;
  if (change.change === 'create')
    return `created  ${cut(printable((sql ?? '').replaceAll(/\s+/g, ' ')), STATEMENT_LENGTH)}`;
  const words = { insert: 'added  ', update: 'changed', delete: 'removed' } as const;
  const what = change.change === undefined ? '' : `${words[change.change]}  `;
  if (tooLongBytes !== undefined)
    return `${what}${rowName(change)}a row of ${tooLongBytes} bytes, too long to be shown here`;
  if (problem !== undefined) return `! ${printable(problem)}`;
  if (change.change === 'insert') return `${what}${cells(row)}`;
  if (change.change === 'delete') return `${what}${cells(before)}`;
  const differing = Object.keys(row).filter((column) => JSON.stringify(row[column]) !== JSON.stringify(before[column]));
  const changes = differing.map((column) => `${printable(column)}: ${shown(before[column])} → ${shown(row[column])}`);
  return `${what}${rowName(change)}${changes.join(', ')}`;
}

/** By its key, else by its rowid; lists of earlier versions don't tell the key. */
function rowName({ key, rowid, row }: Change): string {
  if (key !== undefined && row !== undefined)
    return `${key.map((column) => `${printable(column)}=${shown(row[column])}`).join(', ')}  `;
  if (rowid !== undefined) return rowid === null ? '' : `row ${shown(rowid)}  `;
  const [first] = Object.keys(row ?? {});
  if (row === undefined || first === undefined) return '';
  return ROWID in row ? `row ${shown(row[ROWID])}  ` : `${printable(first)}=${shown(row[first])}  `;
}

function cells(row: Row): string {
  const columns = Object.keys(row).filter((column) => column !== ROWID);
  const first = columns.slice(0, ROW_CELLS).map((column) => `${printable(column)}=${shown(row[column])}`);
  const rest = columns.length > ROW_CELLS ? [`… ${columns.length - ROW_CELLS} more columns`] : [];
  return [...first, ...rest].join(', ');
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'object') return shownText(String(value));
  const { int, real, hex, textHex } = value as Readonly<Record<string, unknown>>;
  if (int !== undefined || real !== undefined) return printable(String(int ?? real));
  return hex === undefined ? `text ${bytes(String(textHex))}` : bytes(String(hex));
}

function shownText(text: string): string {
  const quoted = printable(JSON.stringify(text));
  return quoted.length <= CELL_LENGTH ? quoted : `${quoted.slice(0, CELL_LENGTH)}…" (${text.length} characters)`;
}

function bytes(hex: string): string {
  const count = hex.length / 2;
  return count <= BLOB_BYTES
    ? `x'${printable(hex)}'`
    : `x'${printable(hex.slice(0, 2 * BLOB_BYTES))}…' (${count} bytes)`;
}

/** Control characters, and those that turn the direction of a line, as their numbers. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
