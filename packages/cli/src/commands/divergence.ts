/**
 * `canopy db divergence list|show|export|delete`: commits that a node had made and the others never got, row by row. Each
 * node keeps its own and answers for them, or its directory is looked at (`--file`); nothing is deleted unless it is named.
 */
import { formatDuration, systemClock } from '@canopy/core';
import type { KeptDivergence, NodeDivergences } from '@canopy/platform';
import { changeToSql } from '@canopy/sqlite';
import type { ClusterOptions } from '../connect.ts';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBytes } from '../output/bytes.ts';
import { changeLine, printable, tableCounts, tableHeading } from '../output/changes.ts';
import { writeLines } from '../output/file-lines.ts';
import type { Printer } from '../output/printer.ts';
import { type Cell, renderTable } from '../output/table.ts';
import { type Change, type DivergencePlace, type DivergenceSource, withDivergences } from './divergence-source.ts';

export interface DivergenceVerbOptions extends ClusterOptions {
  readonly node?: string | undefined;
}

export async function listDivergences(
  place: DivergencePlace,
  options: DivergenceVerbOptions,
  printer: Printer,
): Promise<number> {
  return withDivergences(place, options, async (source) => {
    const found = await source.list();
    const rows = found.flatMap(({ node, divergences = [] }) => divergences.map((kept) => ({ node, ...kept })));
    const silent = found.filter(({ divergences }) => divergences === undefined);
    const unknown = silent.map(({ node, error }) => ({ node, error: error?.toJSON() }));
    printer.result([...rows, ...unknown], () => listText(source, rows, silent));
    return silent.length === 0 ? EXIT.ok : EXIT.failed;
  });
}

function listText(
  { label, argument }: DivergenceSource,
  rows: readonly (KeptDivergence & { node: string })[],
  silent: readonly NodeDivergences[],
): string {
  const now = systemClock.wall();
  const known =
    rows.length === 0
      ? [`${label}: nothing is kept aside${silent.length === 0 ? '' : ' on the nodes that answer'}`]
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
          `canopy db divergence show ${argument} ID says which rows it is about.`,
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
  place: DivergencePlace,
  id: string,
  options: ShowDivergenceOptions,
  printer: Printer,
): Promise<number> {
  return withDivergences(place, options, async (source) => {
    const { node, kept } = await find(source, id, options.node);
    const changes: Change[] = [];
    let isCut = false;
    for await (const change of source.changes(node, id)) {
      isCut = changes.length >= options.limit;
      if (isCut) break;
      changes.push(change);
    }
    printer.result({ ...source.fields, node, ...kept, changes, isCut }, () =>
      [
        ...headingOf(node, kept),
        ...changesText(changes, kept),
        ...(isCut ? ['', moreText(source, changes, kept)] : []),
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

function moreText({ argument }: DivergenceSource, changes: readonly Change[], { id, rows }: KeptDivergence): string {
  const shown = changes.filter(({ change }) => change !== undefined && change !== 'create').length;
  const rest =
    rows === undefined || rows <= shown ? 'and more' : `and more: ${rows - shown} of ${rows} row(s) are not shown`;
  return `… ${rest}: canopy db divergence export ${argument} ${id} --to FILE has all of it.`;
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

const SQL_HEAD = [
  '-- Changes that were kept aside. Read them before you run them on the live database.',
  '-- UPDATE and DELETE touch only rows that are still exactly as they were before; others are left alone.',
  '-- Triggers of the database fire as for any other change.',
  'BEGIN;',
  'PRAGMA defer_foreign_keys = ON;',
];

export async function exportDivergence(
  place: DivergencePlace,
  id: string,
  options: ExportDivergenceOptions,
  printer: Printer,
): Promise<number> {
  const { to, overwrite = false } = options;
  const format = options.format ?? (to?.endsWith('.sql') ? 'sql' : 'jsonl');
  return withDivergences(place, options, async (source) => {
    const { node } = await find(source, id, options.node);
    let count = 0;
    const lines = async function* (): AsyncGenerator<{ readonly line: string; readonly change?: Change }> {
      if (format === 'sql') for (const line of SQL_HEAD) yield { line };
      for await (const change of source.changes(node, id)) {
        count += 1;
        yield { line: format === 'sql' ? changeToSql(change) : JSON.stringify(change), change };
      }
      if (format === 'sql') yield { line: 'COMMIT;' };
    };
    if (to !== undefined) await writeLines(to, overwrite, lines());
    else for await (const { line, change } of lines()) printer.line(format === 'sql' ? line : change, () => line);
    if (to !== undefined)
      printer.result(
        { ...source.fields, node, id, file: to, format, changes: count },
        () => `${count} change(s) in ${to}`,
      );
    return EXIT.ok;
  });
}

export interface DeleteDivergenceOptions extends DivergenceVerbOptions {
  readonly yes?: boolean | undefined;
}

export async function deleteDivergence(
  place: DivergencePlace,
  id: string,
  options: DeleteDivergenceOptions,
  printer: Printer,
): Promise<number> {
  return withDivergences(place, options, async (source) => {
    const { node, kept } = await find(source, id, options.node);
    if (options.yes !== true)
      throw cliErrors.create('USAGE', {
        command: 'npx canopy db divergence delete',
        problem: `this removes the only copy of ${kept.rows ?? 'an unknown number of'} changed row(s) that ${node} keeps as ${id}: repeat it with --yes`,
      });
    const { directory, freedBytes } = await source.delete(node, id);
    printer.result(
      { ...source.fields, node, id, directory, freedBytes },
      () => `deleted ${directory} on ${node}: ${formatBytes(freedBytes)} free again`,
    );
    return EXIT.ok;
  });
}

/** Throws DIVERGENCE_UNKNOWN, DIVERGENCE_AMBIGUOUS. */
async function find(
  source: DivergenceSource,
  id: string,
  wanted: string | undefined,
): Promise<{ node: string; kept: KeptDivergence }> {
  const found = (await source.list()).filter(({ node }) => wanted === undefined || node === wanted);
  const all = found.flatMap(({ node, divergences = [] }) => divergences.map((kept) => ({ node, kept })));
  const hits = all.filter(({ kept }) => kept.id === id);
  const [hit] = hits;
  if (hit !== undefined && hits.length === 1) return hit;
  if (hit !== undefined)
    throw cliErrors.create('DIVERGENCE_AMBIGUOUS', { id, nodes: hits.map(({ node }) => node).join(', ') });
  const silent = found.filter(({ divergences }) => divergences === undefined).map(({ node }) => node);
  const known = all.map(({ node, kept }) => `${kept.id} (${node})`).join(', ') || 'none';
  throw cliErrors.create('DIVERGENCE_UNKNOWN', {
    of: source.label,
    id,
    known: silent.length === 0 ? known : `${known}; no answer from ${silent.join(', ')}`,
  });
}
