/**
 * What is merged next. A level collects what the level below it has beyond its own end; one output holds what was
 * written within one stretch of the wall clock (a multiple of the level's interval), once that stretch is over. So two
 * who plan from the same log choose the same names, and find each other's outputs instead of adding to them. Pure.
 */
import { findSeam } from '../log/identity.ts';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';

/** More inputs than this, or more bytes, make several outputs: what one step costs is bounded. */
const INPUTS_MAX = 4096;
const BYTES_MAX = 1024 * 1024 * 1024;

export interface Compaction {
  /** Level of the output; the inputs are of the level below. */
  readonly level: number;
  /** In order and without a gap; they may overlap. */
  readonly inputs: readonly LogEntry[];
  readonly minTxid: number;
  readonly maxTxid: number;
  /** The output is there, damaged, and is to be replaced by the same made anew. Default false. */
  readonly replaces?: boolean;
}

/**
 * The next merge that is due at `now` (Unix ms by the store's clock), lowest level first; undefined when there is none. `intervalsMs` are those
 * of level 1 and up. A gap is stepped over only where a full image covers it; elsewhere nothing is planned past it.
 */
export function planCompaction(
  entries: readonly LogEntry[],
  intervalsMs: readonly number[],
  now: number,
): Compaction | undefined {
  const imaged = endOf(entries, SNAPSHOT_LEVEL);
  for (const [i, intervalMs] of intervalsMs.entries()) {
    const level = i + 1;
    const end = endOf(entries, level);
    const run = nextRun(entries, level - 1, end, imaged);
    const inputs = dueGroup(run, intervalMs, now);
    const first = inputs[0];
    const last = inputs.at(-1);
    if (first !== undefined && last !== undefined)
      return { level, inputs, minTxid: first.minTxid, maxTxid: last.maxTxid };
  }
  return undefined;
}

/** When it is worth looking again, Unix ms by the store's clock as `now` is: the next multiple of the smallest interval. Undefined: levels are off. */
export function nextLook(intervalsMs: readonly number[], now: number): number | undefined {
  const [first] = intervalsMs;
  return first === undefined ? undefined : (Math.floor(now / first) + 1) * first;
}

/** The last transaction that a level has; 0 when it has none. */
export function endOf(entries: readonly LogEntry[], level: number): number {
  return entries.reduce((end, entry) => (entry.level === level && entry.maxTxid > end ? entry.maxTxid : end), 0);
}

/** What the level has beyond `end`, as one unbroken chain. */
function nextRun(entries: readonly LogEntry[], level: number, end: number, imaged: number): LogEntry[] {
  const steps = entries
    .filter((entry) => entry.level === level && entry.maxTxid > end)
    .sort((a, b) => a.minTxid - b.minTxid || a.maxTxid - b.maxTxid);
  const first = steps[0];
  if (first === undefined) return [];
  if (first.minTxid > end + 1 && first.minTxid - 1 > imaged) return [];
  const run: LogEntry[] = [];
  let current = Math.max(end, first.minTxid - 1);
  let best: LogEntry | undefined;
  for (let at = 0; ; ) {
    for (; at < steps.length && (steps[at] as LogEntry).minTxid <= current + 1; at++) {
      const step = steps[at] as LogEntry;
      if (best === undefined || step.maxTxid > best.maxTxid) best = step;
    }
    if (best === undefined || best.maxTxid <= current) return run;
    run.push(best);
    current = best.maxTxid;
  }
}

/**
 * The inputs of the first stretch, when it is over. A clock that was set back stays in the stretch before. An output never
 * reaches from one primary's entries into another's: where they part is where a former primary finds what it still shares
 * with the log, so that point must stay reachable; nor from one log's into another's. Nor does it reach over a full image:
 * that stays a place to begin at, and its pages may be of another size than those before it.
 */
function dueGroup(run: readonly LogEntry[], intervalMs: number, now: number): readonly LogEntry[] {
  const [first] = run;
  if (first === undefined) return [];
  const stretch = stretchOf(first, intervalMs);
  const seam = findSeam(run)?.entry;
  let bytes = 0;
  for (const [i, entry] of run.entries()) {
    bytes += entry.size;
    const isOther = stretchOf(entry, intervalMs) > stretch || entry.epoch !== first.epoch || entry.node !== first.node;
    const isBase = i > 0 && entry.kind === 'snapshot';
    if (isOther || isBase || entry === seam || i >= INPUTS_MAX || (bytes > BYTES_MAX && i > 0)) return run.slice(0, i);
  }
  return now >= (stretch + 1) * intervalMs ? run : [];
}

/** By the writer's clock, but not after the server's: one that is ahead must not hold the level up. */
function stretchOf(entry: LogEntry, intervalMs: number): number {
  return Math.floor(Math.min(entry.timestamp, entry.storedAt) / intervalMs);
}
