/**
 * Which objects of a log, in which order, make up a database: the newest full image that may be used, then whatever
 * carries on from it in the fewest steps. The rules are Litestream's, so that both restore the same bytes from one
 * bucket. Pure.
 */
import { formatTxid } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';

/** Up to and including a transaction, or everything written before a moment (Unix ms). */
export type RestoreTarget = { readonly txid: number } | { readonly timestamp: number };

/**
 * The entries to apply, in order; the first is a full image or begins with one. Throws SQLITE_LOG_EMPTY,
 * SQLITE_LOG_GAP where history is missing (a prefix is never restored silently), SQLITE_TARGET_UNREACHABLE.
 */
export function planRestore(bucket: string, entries: readonly LogEntry[], target?: RestoreTarget): LogEntry[] {
  if (entries.length === 0) throw sqliteErrors.create('SQLITE_LOG_EMPTY', { bucket });
  const usable = entries.filter((entry) => within(entry, target));
  const snapshot = usable
    .filter((entry) => entry.level === SNAPSHOT_LEVEL)
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
  const beyond = steps[at];
  if (beyond !== undefined) throw gap(bucket, current + 1, beyond.minTxid - 1);
  checkTarget(bucket, entries, current, target);
  return plan;
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
    if (reached === 0) throw unreachable('nothing was written before it');
    return;
  }
  if (reached === target.txid) return;
  const end = entries.reduce((most, entry) => Math.max(most, entry.maxTxid), 0);
  if (end < target.txid) throw unreachable(`the log ends at ${formatTxid(end)}`);
  throw unreachable('the single transactions of that time are not kept any more');
}

function describe(target: RestoreTarget): string {
  if ('txid' in target) return `transaction ${formatTxid(target.txid)}`;
  return Number.isFinite(target.timestamp) ? new Date(target.timestamp).toISOString() : String(target.timestamp);
}

function gap(bucket: string, from: number, to: number): Error {
  const problem = from === 1 ? 'no full image begins the history' : 'no object covers them';
  return sqliteErrors.create('SQLITE_LOG_GAP', { bucket, from, to, problem });
}
