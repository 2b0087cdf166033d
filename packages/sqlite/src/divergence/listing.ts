/**
 * What was kept aside on this node, for people: which divergences there are, how much disk each takes, which rows it is
 * about. Reading is bounded: the list of changes is read a piece at a time, and a row too long for a piece is named, not
 * loaded. Nothing here is ever removed by itself: a divergence is the only copy of what it holds.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sqliteErrors } from '../errors.ts';
import { CHANGES_FILE, type DivergenceFacts, SUMMARY_FILE } from './facts.ts';
import { listDivergences } from './keep.ts';

/** Bytes of the list that one piece holds, and so the longest row that is shown. */
const PIECE_BYTES = 256 * 1024;
const SUMMARY_MAX = 1024 * 1024;
export interface DivergenceSummary extends Partial<DivergenceFacts> {
  /** Names it on this node: `{epoch}-{txid}` of the fork, with a number behind when there are several. */
  readonly id: string;
  readonly directory: string;
  /** Of everything in the directory. */
  readonly sizeBytes: number;
  readonly keptAt: number;
}

/**
 * One line of the list of changes. Cells are `ChangeCell`s, which lose nothing: plain JSON, or `{"int"}`, `{"real"}`, `{"hex"}`,
 * `{"textHex"}`. Lists of earlier versions have whole numbers past 2^53 as texts, and the rowid as a column `(rowid)`.
 */
export interface DivergenceChange {
  readonly table?: string;
  /** `create`: the table itself, by `sql`. */
  readonly change?: 'insert' | 'update' | 'delete' | 'create';
  /** Columns of the declared primary key. */
  readonly key?: readonly string[];
  /** What names the row where no column need do so; null: nothing does, one of several equal rows may be meant. */
  readonly rowid?: unknown;
  /** As the kept file has it. */
  readonly row?: Readonly<Record<string, unknown>>;
  /** As the log has it. */
  readonly before?: Readonly<Record<string, unknown>>;
  /** What differs and is no row, or why rows of the table (or all rows) are not listed. */
  readonly problem?: string;
  /** The statement that made what `problem` is about, in the kept database. */
  readonly sql?: string;
  /** Length of a row that is too long to be shown; it is in the kept database. */
  readonly tooLongBytes?: number;
}

export interface ChangesPiece {
  readonly changes: readonly DivergenceChange[];
  /** Where to go on; undefined: that was all. */
  readonly next: number | undefined;
}

/** The divergences beside the database at `path`, oldest first. */
export async function describeDivergences(path: string): Promise<DivergenceSummary[]> {
  return Promise.all(
    listDivergences(path).map(async (directory): Promise<DivergenceSummary> => {
      const [sizeBytes, { mtimeMs }] = await Promise.all([directoryBytes(directory), stat(directory)]);
      return { keptAt: Math.round(mtimeMs), ...readFacts(directory), id: idOf(path, directory), directory, sizeBytes };
    }),
  );
}

/** Its directory. Throws SQLITE_DIVERGENCE_MISSING. */
export function findDivergence(path: string, id: string): string {
  const found = listDivergences(path).find((directory) => idOf(path, directory) === id);
  if (found !== undefined) return found;
  const known = listDivergences(path).map((directory) => idOf(path, directory));
  throw sqliteErrors.create('SQLITE_DIVERGENCE_MISSING', { path, id, known: known.join(', ') || 'none' });
}

/** The kept copy and its list, for good. Throws SQLITE_DIVERGENCE_MISSING. */
export async function deleteDivergence(path: string, id: string): Promise<{ directory: string; freedBytes: number }> {
  const directory = findDivergence(path, id);
  const freedBytes = await directoryBytes(directory);
  rmSync(directory, { recursive: true, force: true });
  return { directory, freedBytes };
}

/** Every change, in the order of the list, within bounded memory. */
export function* showDivergence(directory: string): Generator<DivergenceChange> {
  for (let next: number | undefined = 0; next !== undefined; ) {
    const piece = readChanges(directory, next);
    yield* piece.changes;
    next = piece.next;
  }
}

/** A piece of the list from byte `offset` on, which must be 0 or a `next`. An old divergence without a list has none. */
export function readChanges(directory: string, offset = 0): ChangesPiece {
  const path = join(directory, CHANGES_FILE);
  if (!existsSync(path)) return { changes: [{ problem: 'it has no list of changes' }], next: undefined };
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.max(0, Math.min(PIECE_BYTES, size - offset)));
    const length = readSync(fd, bytes, 0, bytes.length, offset);
    const end = offset + length >= size ? length : bytes.subarray(0, length).lastIndexOf(10) + 1;
    if (end === 0 && length > 0) return longLine(fd, offset, size, bytes);
    const lines = bytes.toString('utf8', 0, end).split('\n');
    const next = offset + end < size ? offset + end : undefined;
    return { changes: lines.filter((line) => line !== '').map(parseLine), next };
  } finally {
    closeSync(fd);
  }
}

/** A row that fills more than a piece: only its length and its table are told. */
function longLine(fd: number, offset: number, size: number, first: Buffer): ChangesPiece {
  const bytes = Buffer.alloc(PIECE_BYTES);
  let at = offset + first.length;
  for (let newline = -1; newline < 0 && at < size; ) {
    const length = readSync(fd, bytes, 0, bytes.length, at);
    if (length === 0) break;
    newline = bytes.subarray(0, length).indexOf(10);
    at += newline < 0 ? length : newline + 1;
  }
  const head = /^\{"table":("(?:[^"\\]|\\.)*"),"change":"(insert|update|delete|create)"/.exec(
    first.toString('utf8', 0, 4096),
  );
  const change: DivergenceChange = {
    ...(head === null ? {} : { table: JSON.parse(head[1] as string), change: head[2] as 'insert' }),
    tooLongBytes: at - offset,
  };
  return { changes: [change], next: at < size ? at : undefined };
}

function parseLine(line: string): DivergenceChange {
  try {
    return JSON.parse(line) as DivergenceChange;
  } catch {
    return { problem: 'a line of the list cannot be read' };
  }
}

function readFacts(directory: string): Partial<DivergenceFacts> {
  const path = join(directory, SUMMARY_FILE);
  try {
    if (statSync(path).size > SUMMARY_MAX) return {};
    return JSON.parse(readFileSync(path, 'utf8')) as DivergenceFacts;
  } catch {
    return {};
  }
}

function idOf(path: string, directory: string): string {
  return basename(directory).slice(`${basename(path)}.divergent-`.length);
}

async function directoryBytes(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  const sizes = names.map((name) =>
    stat(join(directory, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
