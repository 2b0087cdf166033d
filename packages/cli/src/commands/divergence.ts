/**
 * `canopy db divergence list|show|export|delete`: commits that a node had made and the others never got, row by row. Each
 * node keeps its own and answers for them; nothing is deleted unless it is named.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { formatDuration, systemClock } from '@canopy/core';
import type { ControlClient, DivergencePiece, KeptDivergence, NodeDivergences } from '@canopy/platform';
import { changeToSql } from '@canopy/sqlite';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBytes } from '../output/bytes.ts';
import { changeLine, printable, tableCounts, tableHeading } from '../output/changes.ts';
import type { Printer } from '../output/printer.ts';
import { type Cell, renderTable } from '../output/table.ts';

type Change = DivergencePiece['changes'][number];

export interface DivergenceVerbOptions extends ClusterOptions {
  readonly node?: string | undefined;
}

export async function listDivergences(app: string, options: DivergenceVerbOptions, printer: Printer): Promise<number> {
  return withCluster(options, async (client) => {
    const found = await client.databases.divergences(app);
    const rows = found.flatMap(({ node, divergences = [] }) => divergences.map((kept) => ({ node, ...kept })));
    const silent = found.filter(({ divergences }) => divergences === undefined);
    const unknown = silent.map(({ node, error }) => ({ node, error: error?.toJSON() }));
    printer.result([...rows, ...unknown], () => listText(app, rows, silent));
    return silent.length === 0 ? EXIT.ok : EXIT.failed;
  });
}

function listText(
  app: string,
  rows: readonly (KeptDivergence & { node: string })[],
  silent: readonly NodeDivergences[],
): string {
  const now = systemClock.wall();
  const known =
    rows.length === 0
      ? [`${app}: nothing is kept aside${silent.length === 0 ? '' : ' on the nodes that answer'}`]
      : [
          renderTable(
            ['NODE', 'ID', 'KEPT', 'ROWS', 'IN TABLES', 'SIZE', 'DIRECTORY'],
            rows.map((kept): Cell[] => [
              kept.node,
              kept.id,
              `${formatDuration(Math.max(0, now - kept.keptAt))} ago`,
              kept.rows ?? 'unknown',
              touched(kept),
              formatBytes(kept.sizeBytes),
              kept.directory,
            ]),
          ),
          '',
          `Each is a full copy of a database, and stays until you delete it: ${formatBytes(rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))} in all.`,
          `canopy db divergence show ${app} ID says which rows it is about.`,
        ];
  return [...known, ...silent.map(({ node, error }) => `! ${node}: ${error?.message ?? 'no answer'}`)].join('\n');
}

/** Names of tables in a line of the list. */
const TABLES_NAMED = 4;

function touched({ tables }: KeptDivergence): string | undefined {
  const names = tables
    ?.filter(({ rows, problem }) => rows > 0 || problem !== undefined)
    .map(({ table }) => printable(table));
  if (names === undefined || names.length <= TABLES_NAMED) return names?.join(', ');
  return `${names.slice(0, TABLES_NAMED).join(', ')} and ${names.length - TABLES_NAMED} more`;
}

export interface ShowDivergenceOptions extends DivergenceVerbOptions {
  /** Rows shown. */
  readonly limit: number;
}

export async function showDivergence(
  app: string,
  id: string,
  options: ShowDivergenceOptions,
  printer: Printer,
): Promise<number> {
  return withCluster(options, async (client) => {
    const { node, kept } = await find(client, app, id, options.node);
    const changes: Change[] = [];
    let isCut = false;
    for await (const change of client.databases.changes(app, node, id)) {
      isCut = changes.length >= options.limit;
      if (isCut) break;
      changes.push(change);
    }
    printer.result({ app, node, ...kept, changes, isCut }, () =>
      [
        ...headingOf(node, kept),
        ...changesText(changes, kept),
        ...(isCut ? ['', moreText(app, changes, kept)] : []),
      ].join('\n'),
    );
    return EXIT.ok;
  });
}

function changesText(changes: readonly Change[], { tables, rows }: KeptDivergence): string[] {
  const counts = tableCounts(tables);
  const lines = changes.flatMap((change, i) => {
    const heading = i > 0 && change.table === changes[i - 1]?.table ? [] : ['', tableHeading(change)];
    return [...heading, `  ${changeLine(change)}`];
  });
  const nothing = changes.length === 0 && rows === 0 ? ['', 'No row differs.'] : [];
  return [...(counts === undefined ? [] : ['', counts]), ...lines, ...nothing];
}

function moreText(app: string, changes: readonly Change[], { id, rows }: KeptDivergence): string {
  const shown = changes.filter(({ change }) => change !== undefined && change !== 'create').length;
  const rest =
    rows === undefined || rows <= shown ? 'and more' : `and more: ${rows - shown} of ${rows} row(s) are not shown`;
  return `… ${rest}: canopy db divergence export ${app} ${id} --to FILE has all of it.`;
}

function headingOf(node: string, { id, keptAt, fork, rows, sizeBytes, directory }: KeptDivergence): string[] {
  return [
    `${id}, kept by ${node} on ${new Date(keptAt).toISOString()}: ${rows ?? 'an unknown number of'} row(s) differ, ${formatBytes(sizeBytes)} of disk`,
    fork === undefined
      ? 'The file had no known place in the log.'
      : `Up to ${fork} it was the same as the log; what ${node} committed after that never reached the others.`,
    `The cluster goes on without it. The whole database: ${directory}/database.sqlite on ${node}`,
  ];
}

export interface ExportDivergenceOptions extends DivergenceVerbOptions {
  /** Default: standard output. */
  readonly to?: string | undefined;
  /** Default: `sql` for a file that ends so, else `jsonl`. */
  readonly format?: 'jsonl' | 'sql' | undefined;
  readonly overwrite?: boolean | undefined;
}

/** Characters that are written at a time. */
const PIECE_LENGTH = 64 * 1024;

const SQL_HEAD = [
  '-- Changes that were kept aside. Read them before you run them on the live database.',
  '-- UPDATE and DELETE touch only rows that are still exactly as they were before; others are left alone.',
  '-- Triggers of the database fire as for any other change.',
  'BEGIN;',
  'PRAGMA defer_foreign_keys = ON;',
];

export async function exportDivergence(
  app: string,
  id: string,
  options: ExportDivergenceOptions,
  printer: Printer,
): Promise<number> {
  const { to, overwrite = false } = options;
  const format = options.format ?? (to?.endsWith('.sql') ? 'sql' : 'jsonl');
  return withCluster(options, async (client) => {
    const { node } = await find(client, app, id, options.node);
    const file = to === undefined ? undefined : new LineFile(create(to, overwrite));
    let count = 0;
    try {
      const write = (line: string): void => (file === undefined ? printer.line(line, () => line) : file.write(line));
      if (format === 'sql') for (const line of SQL_HEAD) write(line);
      for await (const change of client.databases.changes(app, node, id)) {
        count += 1;
        if (format === 'sql') write(changeToSql(change));
        else if (file === undefined) printer.line(change, () => JSON.stringify(change));
        else write(JSON.stringify(change));
      }
      if (format === 'sql') write('COMMIT;');
    } finally {
      file?.close();
    }
    if (to !== undefined)
      printer.result({ app, node, id, file: to, format, changes: count }, () => `${count} change(s) in ${to}`);
    return EXIT.ok;
  });
}

export interface DeleteDivergenceOptions extends DivergenceVerbOptions {
  readonly yes?: boolean | undefined;
}

export async function deleteDivergence(
  app: string,
  id: string,
  options: DeleteDivergenceOptions,
  printer: Printer,
): Promise<number> {
  return withCluster(options, async (client) => {
    const { node, kept } = await find(client, app, id, options.node);
    if (options.yes !== true)
      throw cliErrors.create('USAGE', {
        command: 'npx canopy db divergence delete',
        problem: `this removes the only copy of ${kept.rows ?? 'an unknown number of'} changed row(s) that ${node} keeps as ${id}: repeat it with --yes`,
      });
    const { directory, freedBytes } = await client.databases.deleteDivergence(app, node, id);
    printer.result(
      { app, node, id, directory, freedBytes },
      () => `deleted ${directory} on ${node}: ${formatBytes(freedBytes)} free again`,
    );
    return EXIT.ok;
  });
}

/** Throws DIVERGENCE_UNKNOWN, DIVERGENCE_AMBIGUOUS. */
async function find(
  client: ControlClient,
  app: string,
  id: string,
  wanted: string | undefined,
): Promise<{ node: string; kept: KeptDivergence }> {
  const found = (await client.databases.divergences(app)).filter(({ node }) => wanted === undefined || node === wanted);
  const all = found.flatMap(({ node, divergences = [] }) => divergences.map((kept) => ({ node, kept })));
  const hits = all.filter(({ kept }) => kept.id === id);
  const [hit] = hits;
  if (hit !== undefined && hits.length === 1) return hit;
  if (hit !== undefined)
    throw cliErrors.create('DIVERGENCE_AMBIGUOUS', { id, nodes: hits.map(({ node }) => node).join(', ') });
  const silent = found.filter(({ divergences }) => divergences === undefined).map(({ node }) => node);
  const known = all.map(({ node, kept }) => `${kept.id} (${node})`).join(', ') || 'none';
  throw cliErrors.create('DIVERGENCE_UNKNOWN', {
    app,
    id,
    known: silent.length === 0 ? known : `${known}; no answer from ${silent.join(', ')}`,
  });
}

/** Lines, written a piece at a time. */
class LineFile {
  readonly #fd: number;
  #lines: string[] = [];
  #length = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    this.#lines.push(line, '\n');
    this.#length += line.length + 1;
    if (this.#length >= PIECE_LENGTH) this.#flush();
  }

  /** Throws when the last piece can't be written; the file is closed all the same. */
  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#fd);
    }
  }

  #flush(): void {
    const bytes = Buffer.from(this.#lines.join(''));
    this.#lines = [];
    this.#length = 0;
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
  }
}

function create(path: string, overwrite: boolean): number {
  try {
    return openSync(path, overwrite ? 'w' : 'wx', 0o600);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw cliErrors.create('FILE_EXISTS', { file: path }, error);
    throw cliErrors.create('OUTPUT_UNWRITABLE', { reason: message }, error);
  }
}
