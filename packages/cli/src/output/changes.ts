/** Changed rows in words: what was added, changed, removed. Cells are cut to what fits on a screen. */
import type { DivergencePiece, KeptDivergence } from '@canopy/platform';

type Change = DivergencePiece['changes'][number];
type Row = Readonly<Record<string, unknown>>;

const CELL_LENGTH = 60;
/** Not a column: what names a row of a table that has no key of its own. */
const ROWID = '(rowid)';
const ROW_CELLS = 12;

export function tableHeading({ table }: Change, tables: KeptDivergence['tables']): string {
  if (table === undefined) return 'the list';
  const rows = tables?.find((one) => one.table === table)?.rows;
  return rows === undefined || rows === 0 ? `table ${table}` : `table ${table}: ${rows} row(s)`;
}

export function changeLine(change: Change): string {
  const { row = {}, before = {}, problem, tooLongBytes } = change;
  const words = { insert: 'added  ', update: 'changed', delete: 'removed' } as const;
  const what = change.change === undefined ? '' : `${words[change.change]}  `;
  if (tooLongBytes !== undefined) return `${what}a row of ${tooLongBytes} bytes, too long to be shown here`;
  if (problem !== undefined) return `not listed: ${problem}`;
  if (change.change === 'insert') return `${what}${cells(row)}`;
  if (change.change === 'delete') return `${what}${cells(before)}`;
  const differing = Object.keys(row).filter((column) => shown(row[column]) !== shown(before[column]));
  const key = Object.keys(row).find((column) => column === ROWID) ?? Object.keys(row)[0] ?? '';
  const changes = differing.map((column) => `${column}: ${shown(before[column])} → ${shown(row[column])}`);
  return `${what}${key === ROWID ? `row ${shown(row[ROWID])}` : `${key}=${shown(row[key])}`}  ${changes.join(', ')}`;
}

function cells(row: Row): string {
  const columns = Object.keys(row).filter((column) => column !== ROWID);
  const first = columns.slice(0, ROW_CELLS).map((column) => `${column}=${shown(row[column])}`);
  const rest = columns.length > ROW_CELLS ? [`… ${columns.length - ROW_CELLS} more columns`] : [];
  return [...first, ...rest].join(', ');
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'object' && 'hex' in value) return `${String(value.hex).length / 2} bytes`;
  // Control characters must not reach the terminal.
  const text = JSON.stringify(String(value));
  return text.length <= CELL_LENGTH ? text : `${text.slice(0, CELL_LENGTH)}…"`;
}
