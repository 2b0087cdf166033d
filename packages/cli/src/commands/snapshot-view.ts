/** Named snapshots and what was restored, for people and as JSON. Pure. */
import { formatDuration, formatPosition, formatTxid, systemClock } from '@canopy/core';
import type { Snapshot } from '@canopy/platform';
import type { LogEntry, Restored } from '@canopy/sqlite';
import { formatBytes } from '../output/bytes.ts';
import { type Cell, renderTable } from '../output/table.ts';

export interface Reach {
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  readonly position: string;
}

/** The moments between which the log can be restored. */
export function reachOf(entries: readonly LogEntry[]): Reach | undefined {
  const oldest = entries.find(({ level, minTxid }) => level === 9 || minTxid === 1);
  const newest = entries.reduce<LogEntry | undefined>(
    (best, entry) => (best !== undefined && best.maxTxid >= entry.maxTxid ? best : entry),
    undefined,
  );
  if (oldest === undefined || newest === undefined) return undefined;
  const first = entries.reduce((at, entry) => Math.min(at, entry.level === 9 ? entry.timestamp : at), oldest.timestamp);
  const position = formatPosition({ epoch: newest.epoch, txid: newest.maxTxid });
  return { from: first, to: newest.timestamp, position };
}

export function snapshotJson(snapshot: Snapshot): object {
  return { ...snapshot, position: formatPosition(snapshot.position) };
}

/** `none`: what to say where there are none; `restore`: the command that goes back to any other point. */
export function snapshotTable(
  snapshots: readonly Snapshot[],
  points: Reach | undefined,
  words: { readonly none: string; readonly restore: string },
): string {
  return [
    snapshots.length === 0
      ? words.none
      : renderTable(['ID', 'AS OF', 'POSITION', 'SIZE', 'MADE', 'BY'], snapshots.map(snapshotRow)),
    '',
    points === undefined
      ? 'The log is empty: there is nothing else to go back to.'
      : `Besides, the log has the states from ${time(points.from)} to ${time(points.to)}:\n  ${words.restore}`,
  ].join('\n');
}

function snapshotRow(snapshot: Snapshot): Cell[] {
  const ago = formatDuration(Math.max(0, systemClock.wall() - snapshot.createdAt));
  const { id, timestamp, position, node } = snapshot;
  return [id, time(timestamp), formatPosition(position), sizeText(snapshot), `${ago} ago`, node];
}

export function sizeText({ storedBytes, databaseBytes }: Snapshot): string {
  return `${formatBytes(storedBytes)} stored${databaseBytes === undefined ? '' : ` (${formatBytes(databaseBytes)} restored)`}`;
}

export function restoredJson(of: object, file: string, restored: Restored): object {
  const { position, entry, bytes, ms, commit, pageSize } = restored;
  const facts = { position: formatPosition(position), timestamp: entry.timestamp, sizeBytes: commit * pageSize };
  return { ...of, file, ...facts, bytes, ms };
}

export function restoredText(
  file: string,
  { position, entry, bytes, ms, commit, pageSize }: Restored,
  check: string,
): string {
  return [
    `restored ${file}: ${formatBytes(commit * pageSize)} as of ${time(entry.timestamp)}, transaction ${formatTxid(position.txid)}`,
    `${formatBytes(bytes)} read in ${formatDuration(ms)}; check: ${check === 'none' ? 'none' : `${check}, ok`}`,
  ].join('\n');
}

export function time(ms: number): string {
  return new Date(ms).toISOString();
}
