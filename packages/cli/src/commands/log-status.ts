/** `canopy db status --store|--file`: what a log, or the process of one file, says of itself, where no platform knows of it. */
import { type DatabaseStatus, formatDuration, formatPosition, formatTxid, systemClock } from '@canopy/core';
import { describeLog, type LogDescription, type LogEntry, type StoreOption } from '@canopy/sqlite';
import { askControl } from '../control/socket.ts';
import { EXIT } from '../exit-codes.ts';
import { ago } from '../output/ago.ts';
import { formatBytes } from '../output/bytes.ts';
import type { Printer } from '../output/printer.ts';
import { renderFacts, renderTable } from '../output/table.ts';
import { unshippedText } from './database-view.ts';
import { type Bound, undisturbed } from './undisturbed.ts';

export async function logStatus(
  { store, bound }: { readonly store: StoreOption; readonly bound: Bound },
  printer: Printer,
): Promise<number> {
  const described = await undisturbed({ what: 'the listing', bound }, (signal) => describeLog({ store, signal }));
  const now = systemClock.wall();
  printer.result(logJson(described, now), () => logText(described, now));
  return described.problems.length === 0 ? EXIT.ok : EXIT.failed;
}

/** Of the process that replicates or follows the file on this machine. */
export async function fileStatus(file: string, { timeoutMs }: Bound, printer: Printer): Promise<number> {
  const status = (await askControl(file, { op: 'status', timeoutMs })) as DatabaseStatus;
  printer.result(status, () => statusText(status, systemClock.wall()));
  return status.problem === undefined ? EXIT.ok : EXIT.failed;
}

/** Pure. */
export function statusText(status: DatabaseStatus, now: number): string {
  const { path, role, position, lag, sizeBytes, divergences, warnings = [], problem, hint } = status;
  const behind =
    lag.tx === undefined
      ? role === 'primary'
        ? unshippedText(status)
        : 'unknown'
      : lag.tx === 0
        ? 'nothing'
        : `${lag.tx} transaction${lag.tx === 1 ? '' : 's'}, ${lag.ms === undefined ? 'unknown time' : formatDuration(lag.ms)}`;
  return [
    `${path}: ${role === 'primary' ? 'replicating' : role === 'standby' ? 'following' : role}, ${sizeBytes === undefined ? 'size unknown' : formatBytes(sizeBytes)}`,
    '',
    renderFacts([
      ['position', formatPosition(position)],
      [role === 'primary' ? 'not yet in the log' : 'behind the log', behind],
      ['last snapshot', newestSnapshotText(status, now)],
      ['restore last proven', ago(status.lastVerifiedAt, now) ?? 'never, as far as is known'],
      ['kept aside', divergences.length === 0 ? 'nothing' : divergences.join(', ')],
    ]),
    ...warnings.flatMap(({ message, hint }) => ['', `note: ${message}`, `  → ${hint}`]),
    ...(problem === undefined ? [] : ['', `! ${problem}`, ...(hint === undefined ? [] : [`  → ${hint}`])]),
  ].join('\n');
}

/** Who only follows has seen the log's images when it began, and no later one. */
function newestSnapshotText({ role, lastSnapshotAt, firstCopyAt }: DatabaseStatus, now: number): string {
  const known = ago(lastSnapshotAt, now);
  if (role !== 'primary')
    return known === undefined ? 'unknown here (see --store)' : `${known}, or later (see --store)`;
  const copy = ago(firstCopyAt, now);
  return (
    known ??
    (copy === undefined ? 'none that is known of' : `none yet; the log begins with a full copy, stored ${copy}`)
  );
}

function logJson({ label, end, snapshot, levels, verified, problems, warnings }: LogDescription, now: number): object {
  return {
    store: label,
    lastWriter: { node: end.node ?? null, epoch: end.epoch },
    end: {
      position: positionOf(end),
      kind: end.kind,
      writtenAt: end.timestamp,
      ageMs: Math.max(0, now - end.timestamp),
    },
    snapshot:
      snapshot === undefined ? null : { txid: snapshot.maxTxid, writtenAt: snapshot.timestamp, bytes: snapshot.size },
    verified: verified === undefined ? null : { ...verified, position: formatPosition(verified.position) },
    levels,
    problems,
    warnings,
  };
}

/** Pure. */
export function logText(described: LogDescription, now: number): string {
  const { label, end, snapshot, levels, verified, problems, warnings } = described;
  const objects = levels.reduce((sum, level) => sum + level.objects, 0);
  const bytes = levels.reduce((sum, level) => sum + level.bytes, 0);
  return [
    `${label}: ${end.epoch > 0 ? `${end.node} wrote last, under epoch ${end.epoch}` : 'another program than Canopy wrote last'}`,
    '',
    renderFacts([
      ['end', `${positionOf(end)}, written ${ago(end.timestamp, now)}`],
      ['newest snapshot', snapshotText(snapshot, now)],
      [
        'restore last proven',
        verified === undefined
          ? 'never (canopy db verify does)'
          : `${ago(verified.at, now)} by ${verified.node || 'somebody'}, up to ${formatTxid(verified.position.txid)}: ${formatBytes(verified.bytes)} in ${formatDuration(verified.ms)}`,
      ],
      ['in all', `${objects} object${objects === 1 ? '' : 's'}, ${formatBytes(bytes)}`],
    ]),
    '',
    renderTable(
      ['LEVEL', 'OBJECTS', 'SIZE', 'FROM', 'TO'],
      levels.map((level) => [
        level.level,
        level.objects,
        formatBytes(level.bytes),
        formatTxid(level.minTxid),
        formatTxid(level.maxTxid),
      ]),
    ),
    ...warnings.flatMap(({ message, hint }) => ['', `note: ${message}`, `  → ${hint}`]),
    ...problems.flatMap(({ problem, action }) => ['', `! ${problem}`, `  → ${action}`]),
  ].join('\n');
}

function positionOf({ epoch, maxTxid: txid }: LogEntry): string {
  return formatPosition({ epoch, txid });
}

/** One that the log began with does as well as a later one; it is only longer ago. */
function snapshotText(snapshot: LogEntry | undefined, now: number): string {
  if (snapshot === undefined) return 'none';
  return `${ago(snapshot.timestamp, now)}, transaction ${formatTxid(snapshot.maxTxid)}, ${formatBytes(snapshot.size)}`;
}
