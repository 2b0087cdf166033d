/**
 * A log judged by its listing alone: where it ends and who wrote there, what each level holds, and what is wrong with the
 * chain. Nothing is decoded: that what is there can be read only a restore proves. Pure.
 */
import { formatTxid, messageOf, type Position } from '@canopy/core';
import { planRestore } from '../restore/plan.ts';
import { findSeam } from './identity.ts';
import { type LogEntry, SNAPSHOT_LEVEL } from './names.ts';

/** Holes that are told one by one; more are counted. */
const HOLES_TOLD = 3;

export interface LevelSummary {
  readonly level: number;
  readonly objects: number;
  /** Compressed. */
  readonly bytes: number;
  readonly minTxid: number;
  readonly maxTxid: number;
}

export interface LogSummary {
  /** The newest entry; undefined when the log is empty. */
  readonly end: LogEntry | undefined;
  /** The newest full image of any level. */
  readonly snapshot: LogEntry | undefined;
  /** Those that hold something, level 0 first. */
  readonly levels: readonly LevelSummary[];
  readonly problems: readonly LogProblem[];
}

export interface LogProblem {
  readonly problem: string;
  /** What to do. */
  readonly action: string;
}

/** `entries` by transaction, as SegmentLog.all gives them; `proven`: up to where a restore was proven once. */
export function summarizeLog(bucket: string, entries: readonly LogEntry[], proven?: Position): LogSummary {
  const end = entries.reduce<LogEntry | undefined>((best, entry) => (isNewer(entry, best) ? entry : best), undefined);
  const images = entries.filter(({ minTxid }) => minTxid === 1);
  return {
    end,
    snapshot: images.findLast(({ level }) => level === SNAPSHOT_LEVEL) ?? images.at(-1),
    levels: levelsOf(entries),
    problems: [
      ...mixProblem(entries),
      ...restoreProblem(bucket, entries),
      ...holeProblems(entries),
      ...epochProblem(entries),
      ...lostProblem(end, proven),
    ],
  };
}

/** Of equal reach the single transaction: it says who wrote it. */
function isNewer(entry: LogEntry, than: LogEntry | undefined): boolean {
  if (than === undefined || entry.maxTxid !== than.maxTxid) return entry.maxTxid > (than?.maxTxid ?? 0);
  return entry.level < than.level;
}

function levelsOf(entries: readonly LogEntry[]): LevelSummary[] {
  const levels = new Map<number, LevelSummary>();
  for (const { level, size, minTxid, maxTxid } of entries) {
    const known = levels.get(level) ?? { level, objects: 0, bytes: 0, minTxid, maxTxid };
    levels.set(level, {
      level,
      objects: known.objects + 1,
      bytes: known.bytes + size,
      minTxid: Math.min(known.minTxid, minTxid),
      maxTxid: Math.max(known.maxTxid, maxTxid),
    });
  }
  return [...levels.values()].sort((a, b) => a.level - b.level);
}

function restoreProblem(bucket: string, entries: readonly LogEntry[]): LogProblem[] {
  try {
    planRestore(bucket, entries);
    return [];
  } catch (error) {
    const action =
      'a running primary stores a full image within its snapshot interval once something is committed; see who deleted the rest';
    return entries.length === 0
      ? []
      : [{ problem: `the end of the log can't be restored: ${messageOf(error)}`, action }];
  }
}

/**
 * Retention takes single transactions from the oldest on, so between two of them nothing may be missing. But one that stands
 * alone before all others, under an image that no restore goes behind, was left over by a deletion, or brought back by a
 * killed server: what is missing between it and the rest went for good reason, and it goes with the next look of a primary.
 */
function holeProblems(entries: readonly LogEntry[]): LogProblem[] {
  const merged = entries.filter(({ level }) => level > 0 && level < SNAPSHOT_LEVEL);
  const segments = entries.filter(({ level, minTxid, maxTxid }) => level === 0 && minTxid === maxTxid);
  const past = pastOf(entries, segments[0]);
  const holes = segments.flatMap(({ maxTxid }, i) => {
    const [from, to] = [maxTxid + 1, (segments[i + 1]?.minTxid ?? maxTxid + 1) - 1];
    const missed = i === 0 ? Math.max(from, past + 1) : from;
    return isCovered(merged, missed, to) ? [] : [{ from, to }];
  });
  if (holes.length === 0) return [];
  const told = holes.slice(0, HOLES_TOLD).map(({ from, to }) => `${formatTxid(from)} to ${formatTxid(to)}`);
  const more = holes.length > HOLES_TOLD ? ` and ${holes.length - HOLES_TOLD} more` : '';
  return [
    {
      problem: `the history has holes: ${told.join(', ')}${more} are missing`,
      action: 'moments within them are lost; see who deletes from the bucket, and that its settings drop nothing',
    },
  ];
}

/**
 * Where the past ends of which single transactions are of no use: the oldest image; where nothing is merged the newest, because
 * then it alone decides what stays.
 */
function pastOf(entries: readonly LogEntry[], besides: LogEntry | undefined): number {
  const images = entries.filter((entry) => entry.minTxid === 1 && entry !== besides);
  const isMerging = entries.some(({ level }) => level > 0 && level < SNAPSHOT_LEVEL);
  return (isMerging ? images[0] : images.at(-1))?.maxTxid ?? 0;
}

function isCovered(merged: readonly LogEntry[], from: number, to: number): boolean {
  let reached = from - 1;
  for (const { minTxid, maxTxid } of merged) if (minTxid <= reached + 1) reached = Math.max(reached, maxTxid);
  return reached >= to;
}

/** Two databases were shipped into one log: whatever was put together from both is none. */
function mixProblem(entries: readonly LogEntry[]): LogProblem[] {
  const seam = findSeam(entries);
  if (seam === undefined) return [];
  const { minTxid, logId, node } = seam.entry;
  return [
    {
      problem: `two logs are mixed: transaction ${formatTxid(minTxid)} (node ${node}) is of log ${logId}, what is before it of log ${seam.before}`,
      action:
        'restore to a transaction before it, and see who writes here; a full image that the right primary stores ends it once the older entries are gone',
    },
  ];
}

/** Who is fenced stops: a lower epoch behind a higher one was put by something that does not keep to that. */
function epochProblem(entries: readonly LogEntry[]): LogProblem[] {
  let highest: LogEntry | undefined;
  for (const entry of entries) {
    if (entry.level !== 0 || entry.epoch === 0) continue;
    if (highest !== undefined && entry.epoch < highest.epoch)
      return [
        {
          problem: `transaction ${formatTxid(entry.maxTxid)} has epoch ${entry.epoch} (node ${entry.node}), behind epoch ${highest.epoch} (node ${highest.node})`,
          action: 'two histories may be mixed: see whether the bucket was restored over itself, and verify it',
        },
      ];
    highest = entry;
  }
  return [];
}

function lostProblem(end: LogEntry | undefined, proven: Position | undefined): LogProblem[] {
  if (proven === undefined || proven.txid <= (end?.maxTxid ?? 0)) return [];
  return [
    {
      problem: `the log ends before transaction ${formatTxid(proven.txid)}, up to which it was restored once: it has lost its end`,
      action: 'bring the bucket back as it was, or start the primary: it tells what it knows to be missing',
    },
  ];
}
