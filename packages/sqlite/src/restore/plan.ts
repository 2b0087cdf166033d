/**
 * Which objects of a log, in which order, make up a database: the newest full image that may be used, then whatever
 * carries on from it in the fewest steps. Beside the images of their own level, which are all that Litestream begins with,
 * those among the transactions count too: where both can restore, they restore the same bytes. Pure.
 */
import { epoch, formatPosition, formatTxid } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { findSeam } from '../log/identity.ts';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';

/** Neighbours of a point that are tried when it can't be reached itself. */
const LOOKS = 8;

/**
 * Up to and including a transaction, or everything written before a moment (Unix ms). With `epoch`, the one under which that
 * transaction was written, another history's is refused: a number alone may be taken twice, once by a primary that was cut off.
 */
export type RestoreTarget =
  | { readonly txid: number; readonly epoch?: number | undefined }
  | { readonly timestamp: number };

/**
 * The entries to apply, in order; the first is a full image or begins with one. Throws SQLITE_LOG_EMPTY,
 * SQLITE_LOG_GAP where history is missing (a prefix is never restored silently), SQLITE_TARGET_UNREACHABLE: single
 * transactions are merged after a while, and between two ends of what was merged nothing can be reached; SQLITE_POSITION_UNKNOWN
 * where the log has the transaction from another epoch; SQLITE_LOG_MIXED where two logs would be put together. A moment gives the last state that is kept and was written strictly
 * before it.
 */
export function planRestore(bucket: string, entries: readonly LogEntry[], target?: RestoreTarget): LogEntry[] {
  if (entries.length === 0) throw sqliteErrors.create('SQLITE_LOG_EMPTY', { bucket });
  const { plan, reached, beyond } = chain(entries, target);
  // With a target, what lies beyond may have been merged into an object that reaches past it.
  if (beyond !== undefined && (target === undefined || !isCovered(entries, reached + 1)))
    throw gap(bucket, reached + 1, beyond.minTxid - 1);
  checkTarget(bucket, entries, reached, target);
  requireEpoch(bucket, entries, target);
  requireOneLog(bucket, plan);
  return plan;
}

/** Pages of one database on top of another's would pass for a sound file where nobody looks at every row. */
function requireOneLog(bucket: string, plan: readonly LogEntry[]): void {
  const seam = findSeam(plan);
  if (seam === undefined) return;
  const { entry, before } = seam;
  throw sqliteErrors.create('SQLITE_LOG_MIXED', { bucket, txid: entry.minTxid, log: String(entry.logId), before });
}

/** Epoch 0 is no epoch: another program wrote that, and left none. */
function requireEpoch(bucket: string, entries: readonly LogEntry[], target: RestoreTarget | undefined): void {
  if (target === undefined || !('txid' in target)) return;
  const { txid, epoch: asked = 0 } = target;
  const held = Number(entries.find((entry) => entry.maxTxid === txid && Number(entry.epoch) > 0)?.epoch ?? 0);
  if (asked === 0 || held === 0 || held === asked) return;
  const position = formatPosition({ epoch: epoch(asked), txid });
  throw sqliteErrors.create('SQLITE_POSITION_UNKNOWN', { bucket, position, epoch: held });
}

interface Chain {
  readonly plan: LogEntry[];
  readonly reached: number;
  /** The first entry that the chain does not join. */
  readonly beyond: LogEntry | undefined;
}

function chain(entries: readonly LogEntry[], target: RestoreTarget | undefined): Chain {
  const usable = entries.filter((entry) => within(entry, target));
  const snapshot = usable
    .filter(isBase)
    .reduce<LogEntry | undefined>((best, entry) => (best && best.maxTxid >= entry.maxTxid ? best : entry), undefined);
  const plan = snapshot === undefined ? [] : [snapshot];
  const steps = usable.filter((entry) => entry.level !== SNAPSHOT_LEVEL).sort((a, b) => a.minTxid - b.minTxid);
  let current = snapshot?.maxTxid ?? 0;
  let best: LogEntry | undefined;
  let at = 0;
  for (;;) {
    for (; at < steps.length && (steps[at] as LogEntry).minTxid <= current + 1; at++)
      best = preferred(best, steps[at] as LogEntry);
    if (best === undefined || best.maxTxid <= current) break;
    plan.push(best);
    current = best.maxTxid;
  }
  return { plan, reached: current, beyond: steps[at] };
}

/**
 * A full image by itself, or one that a primary has put among its transactions because it could not prove what it had, or its
 * pages had become of another size: what is before it is not needed.
 */
function isBase({ level, minTxid, kind }: LogEntry): boolean {
  return level === SNAPSHOT_LEVEL || (kind === 'snapshot' && minTxid > 1);
}

function isCovered(entries: readonly LogEntry[], txid: number): boolean {
  return entries.some((entry) => entry.minTxid <= txid && entry.maxTxid >= txid);
}

function within(entry: LogEntry, target: RestoreTarget | undefined): boolean {
  if (target === undefined) return true;
  return 'txid' in target ? entry.maxTxid <= target.txid : entry.timestamp < target.timestamp;
}

/** Reaches further; then begins earlier; then the higher level; then the older one. */
function preferred(a: LogEntry | undefined, b: LogEntry): LogEntry {
  if (a === undefined) return b;
  const order = a.maxTxid - b.maxTxid || b.minTxid - a.minTxid || a.level - b.level || b.timestamp - a.timestamp;
  return order < 0 ? b : a;
}

function checkTarget(
  bucket: string,
  entries: readonly LogEntry[],
  reached: number,
  target: RestoreTarget | undefined,
): void {
  if (target === undefined) return;
  const unreachable = (problem: string): Error =>
    sqliteErrors.create('SQLITE_TARGET_UNREACHABLE', { bucket, target: describe(target), problem });
  if ('timestamp' in target) {
    if (reached === 0) throw unreachable('nothing that was written before it is kept');
    return;
  }
  if (reached === target.txid) return;
  const end = entries.reduce((most, entry) => Math.max(most, entry.maxTxid), 0);
  if (end < target.txid) throw unreachable(`the log ends at ${formatTxid(end)}`);
  throw unreachable(
    `the single transactions of that time are not kept any more; ${nearestPoints(entries, target.txid)}`,
  );
}

/** What can be reached on either side, so that nobody has to guess. */
function nearestPoints(entries: readonly LogEntry[], txid: number): string {
  const ends = [...new Set(entries.map((entry) => entry.maxTxid))].sort((a, b) => a - b);
  const isReachable = (end: number): boolean => chain(entries, { txid: end }).reached === end;
  const show = (end: number | undefined): string => (end === undefined ? 'none' : formatTxid(end));
  // Neighbours are reachable but for the remains of old times: a few looks are enough.
  const before = ends
    .filter((end) => end < txid)
    .slice(-LOOKS)
    .findLast(isReachable);
  const after = ends
    .filter((end) => end > txid)
    .slice(0, LOOKS)
    .find(isReachable);
  return `the nearest points are ${show(before)} before it and ${show(after)} after it`;
}

function describe(target: RestoreTarget): string {
  if ('txid' in target) return `transaction ${formatTxid(target.txid)}`;
  return Number.isFinite(target.timestamp) ? new Date(target.timestamp).toISOString() : String(target.timestamp);
}

function gap(bucket: string, from: number, to: number): Error {
  const problem = from === 1 ? 'no full image begins the history' : 'no object covers them';
  return sqliteErrors.create('SQLITE_LOG_GAP', { bucket, from, to, problem });
}
