/**
 * What nobody needs any more. Level 0 goes once it is covered at level 1 (where levels are off: by a full image) and old;
 * full images go by age and count; merged files go when they are old and lie below the oldest image that stays. Every
 * deletion rests on an object that this process has decoded and that is there at that moment; it runs from the oldest on,
 * one after the other. So wherever it stops, also for good, there is more than needed, never a hole. The planning is pure.
 */
import { assert } from '@canopy/core';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { Proofs } from './proofs.ts';

/** An append looks whether its predecessor is still there: the newest must not go, and neither may the one before it. */
const KEEP_MIN = 2;

export interface RetentionOptions {
  /** Level-0 entries go when level 1 covers them. False (default): when a full image does. */
  readonly levels?: boolean;
  /** Level-0 entries younger than this stay. Default 5 minutes. */
  readonly keepMs?: number;
  /** This many of the newest level-0 entries stay. Default 16; at least 2. */
  readonly keepCount?: number;
  /** Snapshots younger than this stay, and so does what was merged since. Default 24 h. */
  readonly keepSnapshotsMs?: number;
  /** This many of the newest snapshots stay. Default 2; at least 1. */
  readonly keepSnapshots?: number;
  /** Of the older snapshots one per stretch of this length stays, however often they were made. Default 1 h. */
  readonly snapshotSpacingMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface RetentionResult {
  /** Level-0 entries deleted. */
  readonly segments: number;
  readonly snapshots: number;
  /** Files of the levels in between. */
  readonly merged: number;
}

/** One deletion and the objects that must be proven to be there before it. */
export interface Deletion {
  readonly entry: LogEntry;
  readonly coveredBy: readonly LogEntry[];
}

/** Everything that may go at `now` (Unix ms by the store's clock), in the order in which it has to go. `entries` are the whole log. */
export function planRetention(entries: readonly LogEntry[], now: number, options: RetentionOptions = {}): Deletion[] {
  const snapshots = ofLevel(entries, SNAPSHOT_LEVEL);
  const gone = new Set(oldSnapshots(snapshots, now, options));
  const oldest = snapshots.find((entry) => !gone.has(entry));
  const newest = snapshots.at(-1);
  return [
    ...oldSegments(entries, oldest, now, options),
    ...snapshots.filter((entry) => gone.has(entry)).map((entry) => ({ entry, coveredBy: [newest as LogEntry] })),
    ...oldMerged(entries, oldest, now, options),
  ];
}

/** Carries the plan out. Stops at the first entry whose cover is gone, or whose predecessor is there and not in the plan: the next look plans anew. Throws what the store
 * throws, and SQLITE_LTX_INVALID or BLOB_CORRUPT where a cover is damaged: then nothing that it covers was deleted. */
export async function applyRetention(
  log: SegmentLog,
  plan: readonly Deletion[],
  proofs: Proofs,
  signal?: AbortSignal,
  onDeleted: (entry: LogEntry) => void = () => {},
  onMissed: (entry: LogEntry) => void = () => {},
): Promise<RetentionResult> {
  const result = { segments: 0, snapshots: 0, merged: 0 };
  const entries = new Map(plan.map(({ entry }) => [entry.name, entry]));
  const told = (name: string): void => {
    const entry = entries.get(name) as LogEntry;
    onDeleted(entry);
    if (entry.level === 0) result.segments++;
    else if (entry.level === SNAPSHOT_LEVEL) result.snapshots++;
    else result.merged++;
  };
  await log.store.deleteInOrder(provenNames(log, plan, proofs, onMissed, signal), { signal, onDeleted: told });
  return result;
}

/** Until a cover is gone, or a single transaction shows up that the plan has left out: it would stay behind as one without a successor. */
async function* provenNames(
  log: SegmentLog,
  plan: readonly Deletion[],
  proofs: Proofs,
  onMissed: (entry: LogEntry) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  const proven = new Set<string>();
  let last = 0;
  for (const { entry, coveredBy } of plan) {
    signal?.throwIfAborted();
    if (entry.level === 0) {
      const before = entry.minTxid - 1;
      const missed = before > 0 && before !== last ? await log.entry(before, { signal }) : undefined;
      if (missed !== undefined) return onMissed(missed);
      last = entry.maxTxid;
    }
    for (const cover of coveredBy) {
      if (proven.has(cover.name)) continue;
      if (!(await proofs.prove(cover, signal))) return;
      proven.add(cover.name);
    }
    yield entry.name;
  }
}

/** Plans and carries out from a listing of the bucket; see SegmentLog.trim. */
export async function trimLog(log: SegmentLog, options: RetentionOptions): Promise<RetentionResult> {
  const entries = await log.all({ signal: options.signal });
  const { now } = await log.store.bucketInfo({ signal: options.signal });
  return applyRetention(log, planRetention(entries, now, options), proofsOf(log), options.signal);
}

/** The prefix of level 0 that may go. */
function oldSegments(
  entries: readonly LogEntry[],
  oldest: LogEntry | undefined,
  now: number,
  options: RetentionOptions,
): Deletion[] {
  const { keepMs = 5 * 60_000, keepSnapshotsMs = 24 * 3_600_000, levels = false } = options;
  const keepCount = Math.max(options.keepCount ?? 16, KEEP_MIN);
  const segments = ofLevel(entries, 0).filter((entry) => entry.minTxid === entry.maxTxid);
  const candidates = segments.slice(0, Math.max(0, segments.length - keepCount));
  const covers = levels ? ofLevel(entries, 1) : ofLevel(entries, SNAPSHOT_LEVEL).slice(-1);
  const plan: Deletion[] = [];
  let at = 0;
  for (const entry of candidates) {
    const ageMs = now - entry.storedAt;
    if (ageMs < keepMs) break;
    while (at < covers.length && (covers[at] as LogEntry).maxTxid < entry.maxTxid) at++;
    const cover = covers[at];
    // What lies below the oldest image is of no use to any restore, covered or not.
    const isPast = oldest !== undefined && entry.maxTxid <= oldest.maxTxid && ageMs >= keepSnapshotsMs;
    if (cover !== undefined && cover.minTxid <= entry.minTxid) plan.push({ entry, coveredBy: [cover] });
    else if (isPast) plan.push({ entry, coveredBy: [oldest] });
    else break;
  }
  return plan;
}

/** Merged files below the oldest image that stays; the newest of each level never. */
function oldMerged(
  entries: readonly LogEntry[],
  oldest: LogEntry | undefined,
  now: number,
  options: RetentionOptions,
): Deletion[] {
  const { keepSnapshotsMs = 24 * 3_600_000 } = options;
  if (oldest === undefined) return [];
  const plan: Deletion[] = [];
  for (let level = 1; level < SNAPSHOT_LEVEL; level++) {
    const files = ofLevel(entries, level);
    for (const entry of files.slice(0, -1))
      if (entry.maxTxid <= oldest.maxTxid && now - entry.storedAt >= keepSnapshotsMs)
        plan.push({ entry, coveredBy: [oldest] });
  }
  return plan.sort((a, b) => a.entry.maxTxid - b.entry.maxTxid || b.entry.level - a.entry.level);
}

/** Beside the newest: what is past its age, and all but the first of each stretch of time. Stretches are multiples of
 * the spacing since the epoch, so what stays does not depend on when one looks. */
export function oldSnapshots(snapshots: readonly LogEntry[], now: number, options: RetentionOptions = {}): LogEntry[] {
  const keepMs = options.keepSnapshotsMs ?? 24 * 3_600_000;
  const keep = Math.max(options.keepSnapshots ?? 2, 1);
  const spacingMs = Math.max(options.snapshotSpacingMs ?? 3_600_000, 1);
  assert(keepMs >= 0, 'a retention must not be negative');
  const stretches = new Set<number>();
  return snapshots.slice(0, Math.max(0, snapshots.length - keep)).filter((entry) => {
    const stretch = Math.floor(entry.storedAt / spacingMs);
    const isFirst = !stretches.has(stretch);
    stretches.add(stretch);
    return now - entry.storedAt >= keepMs || !isFirst;
  });
}

function ofLevel(entries: readonly LogEntry[], level: number): LogEntry[] {
  return entries
    .filter((entry) => entry.level === level)
    .sort((a, b) => a.maxTxid - b.maxTxid || a.minTxid - b.minTxid);
}

const known = new WeakMap<SegmentLog, Proofs>();

/** One per log, so that what was decoded once is not decoded again. */
export function proofsOf(log: SegmentLog): Proofs {
  let proofs = known.get(log);
  if (proofs === undefined) {
    proofs = new Proofs(log);
    known.set(log, proofs);
  }
  return proofs;
}
