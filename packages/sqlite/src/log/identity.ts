/**
 * Which log a log is. Names, positions and epochs repeat from one log to the next, so whoever appends the first entry gives the
 * log a random id, and every entry takes over that of the one it follows. What has no id (Litestream's entries, logs of earlier
 * versions) is unknown and differs from nothing. Invariant: entries of two ids never make up one history.
 */
import type { Random } from '@canopy/core';
import type { LogEntry } from './names.ts';

const DIGITS = 16;
const ID = /^[0-9a-f]{16}$/;

export function newLogId(random: Random): string {
  // A UUID's last digits are all by chance, but for two bits.
  return random.uuid().replaceAll('-', '').slice(-DIGITS);
}

/** Undefined for anything that is none. */
export function parseLogId(text: unknown): string | undefined {
  return typeof text === 'string' && ID.test(text) ? text : undefined;
}

/** Both are known, and they are not the same. */
export function isOtherLog(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

export interface Seam {
  /** The first entry of the other log. */
  readonly entry: LogEntry;
  /** The log that the entries before it are of. */
  readonly before: string;
}

/** Where entries, in their order, pass from one log into another; undefined when they don't. */
export function findSeam(entries: readonly LogEntry[]): Seam | undefined {
  let before: string | undefined;
  for (const entry of entries) {
    if (before !== undefined && isOtherLog(entry.logId, before)) return { entry, before };
    before = entry.logId ?? before;
  }
  return undefined;
}
