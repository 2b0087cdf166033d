/** One app's database in plain words, as `canopy db status` says it. Pure. */
import { formatDuration, formatPosition } from '@canopy/core';
import type { AppOverview, AppStatus, NodeDivergences, Snapshot } from '@canopy/platform';
import { ago } from '../output/ago.ts';
import { formatBytes } from '../output/bytes.ts';
import { progressText } from '../output/progress.ts';
import { renderFacts, renderTable } from '../output/table.ts';

type Database = NonNullable<AppStatus['database']>;

export interface DatabaseView {
  readonly overview: AppOverview;
  /** Of the nodes that keep something; empty where that is not known. */
  readonly kept: readonly NodeDivergences[];
  /** The newest that somebody made; undefined: none, or not known. */
  readonly snapshot: Snapshot | undefined;
  /** What needs a look, each with what to do. */
  readonly problems: readonly { readonly problem: string; readonly action: string }[];
}

export function databaseText({ overview, kept, snapshot, problems }: DatabaseView, now: number): string {
  const { app, instances } = overview;
  const answers = instances.flatMap(({ node, status }) => {
    const database = status?.database;
    return database === undefined ? [] : [{ node, database, epoch: status?.epoch }];
  });
  const databases = answers.map(({ database }) => database);
  const primary = answers.find(({ database }) => database.role === 'primary');
  const rows = instances.flatMap(({ node, status }) => {
    if (status === undefined) return [[node, 'no answer', 'unknown', undefined, undefined]];
    return status.database === undefined ? [] : [nodeRow(node, status.database)];
  });
  return [
    primary === undefined
      ? `${app}: no node is primary`
      : `${app}: ${primary.node} is primary${primary.epoch === undefined ? '' : ` under epoch ${primary.epoch}`}, ${sizeText(primary.database)}`,
    '',
    renderTable(['NODE', 'ROLE', 'BEHIND', 'POSITION', 'FILE'], rows),
    '',
    renderFacts([
      ['last snapshot', snapshotText(databases, snapshot, now)],
      ['restore last proven', ago(newest(databases, 'lastVerifiedAt'), now) ?? 'never, as far as is known'],
      ['kept aside', keptText(databases, kept)],
    ]),
    ...warningLines(databases),
    ...problems.flatMap(({ problem, action }) => ['', `! ${problem}`, `  → ${action}`]),
  ].join('\n');
}

function nodeRow(node: string, database: Database): (string | undefined)[] {
  const { role, position, path } = database;
  return [node, role, behind(database), formatPosition(position), path];
}

/** Transactions, time and bytes; only what is known. */
function behind(database: Database): string {
  const { role, lag, bootstrap } = database;
  if (bootstrap !== undefined) return `making its copy: ${progressText(bootstrap)}`;
  if (role === 'primary' && lag.tx === undefined) return `not yet in the log: ${unshippedText(database)}`;
  if (role === 'primary') return lag.tx === 0 ? '- (the source)' : `${lagText(lag)} not yet in the log`;
  if (lag.tx === undefined) return 'unknown';
  return lag.tx === 0 ? 'nothing' : lagText(lag);
}

/** Of a primary that has commits which the log may lack. Where there is a problem, that says why. */
export function unshippedText({ problem }: { readonly problem: string | undefined }): string {
  return problem === undefined ? 'unknown, commits are on their way' : 'unknown, commits may be waiting';
}

function lagText({ tx, ms, bytes }: Database['lag']): string {
  return [
    `${tx} transaction${tx === 1 ? '' : 's'}`,
    ms === undefined ? 'unknown time' : formatDuration(ms),
    bytes === undefined ? 'unknown bytes' : formatBytes(bytes),
  ].join(', ');
}

function sizeText({ sizeBytes }: Database): string {
  return sizeBytes === undefined ? 'size unknown' : formatBytes(sizeBytes);
}

type Moment = 'lastSnapshotAt' | 'firstCopyAt' | 'lastVerifiedAt';

function newest(databases: readonly Database[], field: Moment): number | undefined {
  const known = databases.map((database) => database[field]).filter((at) => at !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** Before the first snapshot the log is whole already: it begins with a copy of everything. */
function snapshotText(databases: readonly Database[], named: Snapshot | undefined, now: number): string {
  const copy = ago(newest(databases, 'firstCopyAt'), now);
  const isTold = databases.some(({ role }) => role === 'primary');
  const none = !isTold
    ? 'unknown while no primary answers'
    : copy === undefined
      ? 'none that is known of'
      : `none yet; the log begins with a full copy, stored ${copy}`;
  const automatic = ago(newest(databases, 'lastSnapshotAt'), now) ?? none;
  return named === undefined
    ? automatic
    : `${automatic}; the last named one: ${named.id}, ${ago(named.createdAt, now)}`;
}

function keptText(databases: readonly Database[], kept: readonly NodeDivergences[]): string {
  const count = databases.reduce((sum, { divergences }) => sum + divergences.length, 0);
  if (count === 0) return 'nothing';
  const known = kept.flatMap(({ divergences }) => divergences ?? []);
  const bytes = known.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const size = known.length < count ? 'size unknown' : `${formatBytes(bytes)} of disk`;
  return `${count} cop${count === 1 ? 'y' : 'ies'}, ${size}; never removed by itself`;
}

/** What lasts and is not as it should be, said once however many nodes see it. */
function warningLines(databases: readonly Database[]): string[] {
  const warnings = new Map(databases.flatMap(({ warnings: list }) => list ?? []).map((one) => [one.code, one]));
  return [...warnings.values()].flatMap(({ message, hint }) => ['', `note: ${message}`, `  → ${hint}`]);
}
