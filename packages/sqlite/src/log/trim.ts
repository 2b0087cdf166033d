/**
 * Retention: level-0 entries go once a verified snapshot contains them and they are old; snapshots go by age and count.
 * Deletion runs from the oldest on and one after the other, so that a crash in the middle leaves a shorter log, never a
 * hole. The newest entries and the newest snapshot always stay.
 */
import { assert, type Clock } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import type { LogEntry } from './names.ts';
import type { LogView } from './view.ts';

/** An append looks whether its predecessor is still there: the newest must not go, and neither may the one before it. */
const KEEP_MIN = 2;

export interface TrimOptions {
  /** Level-0 entries younger than this stay. Default 5 minutes. */
  readonly keepMs?: number;
  /** This many of the newest level-0 entries stay. Default 16; at least 2. */
  readonly keepCount?: number;
  /** Snapshots younger than this stay. Default 24 h. */
  readonly keepSnapshotsMs?: number;
  /** This many of the newest snapshots stay. Default 2; at least 1. */
  readonly keepSnapshots?: number;
  /** Of the older snapshots one per stretch of this length stays, however often they were made. Default 1 h. */
  readonly snapshotSpacingMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface TrimResult {
  readonly segments: number;
  readonly snapshots: number;
}

/** Snapshots that this process has decoded from end to end, by log: a stored one never changes. */
const verified = new WeakMap<LogView, Set<string>>();

export async function trimLog(log: LogView, blobs: Blobs, clock: Clock, options: TrimOptions): Promise<TrimResult> {
  const { signal } = options;
  const snapshots = await log.snapshots({ signal });
  const newest = snapshots.at(-1);
  if (newest === undefined) return { segments: 0, snapshots: 0 };
  const entries = await log.entries(1, { signal });
  const now = clock.wall();
  const segments = oldSegments(entries, newest, now, options);
  const images = oldSnapshots(snapshots, now, options);
  if (segments.length + images.length > 0 && !(await verifyOnce(log, newest, signal)))
    return { segments: 0, snapshots: 0 };
  for (const { name } of [...segments, ...images]) {
    signal?.throwIfAborted();
    await blobs.delete(name, { signal });
  }
  return { segments: segments.length, snapshots: images.length };
}

/** The prefix of the log that may go. `entries` and the result ascend. */
export function oldSegments(
  entries: readonly LogEntry[],
  snapshot: LogEntry,
  now: number,
  options: TrimOptions = {},
): LogEntry[] {
  const keepMs = options.keepMs ?? 5 * 60_000;
  const keepCount = Math.max(options.keepCount ?? 16, KEEP_MIN);
  const candidates = entries.slice(0, Math.max(0, entries.length - keepCount));
  const end = candidates.findIndex((entry) => entry.maxTxid > snapshot.maxTxid || now - entry.storedAt < keepMs);
  return end < 0 ? candidates : candidates.slice(0, end);
}

/** Beside the newest: what is past its age, and all but the first of each stretch of time. Stretches are multiples of
 * the spacing since the epoch, so what stays does not depend on when one looks. */
export function oldSnapshots(snapshots: readonly LogEntry[], now: number, options: TrimOptions = {}): LogEntry[] {
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

async function verifyOnce(log: LogView, snapshot: LogEntry, signal: AbortSignal | undefined): Promise<boolean> {
  let names = verified.get(log);
  if (names === undefined) {
    names = new Set();
    verified.set(log, names);
  }
  if (names.has(snapshot.name)) return true;
  if (!(await log.verify(snapshot.name, { signal }))) return false;
  names.add(snapshot.name);
  return true;
}
