/**
 * How a copy whose next transaction was trimmed gets on: through files of higher levels that reach over the gap. A file
 * of transactions `min..max` holds the newest image, as of `max`, of every page that any of them changed. So it may be
 * applied to a copy at any `own` with `min - 1 <= own <= max`: what changed in `(own, max]` is in it, and what it has
 * besides (pages changed only in `[min, own]`) is as of `max` too. Pure.
 */
import type { Position } from '@canopy/core';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';

/**
 * The files to apply, in order, until single transactions go on (none where they do at once). Undefined when nothing
 * reaches over the gap, or nothing proves that `own` is a place in this log.
 */
export function planBridge(entries: readonly LogEntry[], own: Position): LogEntry[] | undefined {
  if (!isPlaceOf(entries, own)) return undefined;
  const singles = new Set<number>();
  const steps: LogEntry[] = [];
  let end = 0;
  for (const entry of entries) {
    if (entry.level === 0 && entry.minTxid === entry.maxTxid) singles.add(entry.maxTxid);
    // Without an epoch, or with a lower one, it is not of the same history.
    else if (entry.level > 0 && entry.level < SNAPSHOT_LEVEL && entry.epoch >= own.epoch) steps.push(entry);
    end = Math.max(end, entry.maxTxid);
  }
  steps.sort((a, b) => a.minTxid - b.minTxid);
  const plan: LogEntry[] = [];
  let current = own.txid;
  let at = 0;
  let best: LogEntry | undefined;
  while (current < end && !singles.has(current + 1)) {
    for (; at < steps.length && (steps[at] as LogEntry).minTxid <= current + 1; at++) {
      const step = steps[at] as LogEntry;
      if (best === undefined || step.maxTxid > best.maxTxid) best = step;
    }
    if (best === undefined || best.maxTxid <= current) return undefined;
    plan.push(best);
    current = best.maxTxid;
  }
  return plan;
}

/**
 * A copy is at a place in this log, and not in one that was there before under the same name, when the log holds
 * something of the copy's own epoch from its place or later: a primary appends only behind the very entry that it knows
 * to be the last, so what one epoch has written is one chain.
 */
function isPlaceOf(entries: readonly LogEntry[], own: Position): boolean {
  return own.epoch > 0 && entries.some((entry) => entry.epoch === own.epoch && entry.maxTxid >= own.txid);
}
