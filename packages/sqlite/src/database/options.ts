/** The options of `sqlite()`: what a user may set, and the resolved record that travels to the database process. */
import { type Duration, type OptionReader, parseDuration, resolveOptions } from '@canopy/core';
import type { PageEncoding } from '../ltx/header.ts';

const LEVELS: readonly Duration[] = ['30s', '5m', '1h'];
/** Level 9 is that of full images. */
const LEVELS_MAX = 8;
const LEVEL_MIN_MS = 1000;

export interface SqliteOptions {
  /** How often a full snapshot is stored while the database changes. Default 1h. */
  readonly snapshotInterval?: Duration;
  /** How long snapshots, and the log between them, are kept. The newest snapshot is always kept. Default 24h. */
  readonly retention?: Duration;
  /** This many of the newest snapshots are kept, however old they are. Default 2. */
  readonly keepSnapshots?: number;
  /**
   * How often the log is merged into longer pieces, level by level: the points to which one can go back later. Each a
   * multiple of the one before, at most 8; an empty list turns merging off, and snapshots alone shorten the log. Default
   * 30s, 5m, 1h.
   */
  readonly compactionLevels?: readonly Duration[];
  /** Single transactions stay this long after they were merged. Default 5m. */
  readonly keepSegments?: Duration;
  /**
   * How often the log is restored into a scratch file and checked in full, by one node for all. Needs room for a copy of the
   * database beside it. 0 turns it off. Default 24h.
   */
  readonly verifyInterval?: Duration;
  /**
   * The longest pause between looks at the WAL of an idle database, or eight times as long while the file watch is known to
   * work; changes are noticed at once anyway. Default 250ms.
   */
  readonly pollInterval?: Duration;
  /** What a promotion checks: `quick` (PRAGMA quick_check up to 64 MiB), `full` (integrity_check), `none`. Default quick. */
  readonly verify?: 'quick' | 'full' | 'none';
  /** How long one attempt to lock the database waits for other programs. Default 200ms. */
  readonly busyTimeout?: Duration;
  /** Bound on all attempts together: SQLITE_DATABASE_BUSY past it. Default 30s. */
  readonly lockTimeout?: Duration;
  /** The WAL is copied back into the file when it has grown by this many pages. Default 1000. */
  readonly checkpointPages?: number;
  /**
   * From this many bytes of WAL on (a reader keeps it from being reused, or it can't be shipped as fast as it grows, or at
   * all) writers are slowed down, at four times of it they are kept out until it is shorter. Default 256 MiB.
   */
  readonly maxWal?: number;
  /** The log has moved on and nothing was applied for this long: the `stalled` event. Default 10s. */
  readonly stallAfter?: Duration;
  /**
   * Flush a standby's file at every apply. Without it (default) a standby survives any death of processes, and a standby
   * whose machine went down is rebuilt from the log.
   */
  readonly flushStandby?: boolean;
  /** Copies of the log's bucket. Default: 3 where the NATS server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  /**
   * How pages are stored in the log: `block` (read by Litestream from 0.5.16 on) or `frame` (read by every 0.5 version;
   * about 15 bytes a page larger). Readers here take both. What is in the log already stays as it is: an older Litestream
   * restores from the first snapshot on that is stored after the change. Default block.
   */
  readonly pageEncoding?: PageEncoding;
  /**
   * `own`: a process for each database. `shared`: one for all databases of this program that ask for it, which costs a
   * fraction in memory and idle CPU and has two prices. SQLite's work is synchronous, so a large transaction, snapshot or
   * restart of one database delays the others; and a crash of that process ends all of them for a moment (each tells it
   * and is started again, as if its own had died). For many small databases. Default own.
   */
  readonly process?: 'own' | 'shared';
}

export interface ResolvedSqliteOptions {
  readonly snapshotIntervalMs: number;
  readonly retentionMs: number;
  readonly keepSnapshots: number;
  readonly compactionLevelsMs: readonly number[];
  readonly keepSegmentsMs: number;
  readonly verifyIntervalMs: number;
  readonly pollIntervalMs: number;
  readonly verify: 'quick' | 'full' | 'none';
  readonly busyTimeoutMs: number;
  readonly lockTimeoutMs: number;
  readonly checkpointPages: number;
  readonly maxWalBytes: number;
  readonly stallAfterMs: number;
  readonly flushStandby: boolean;
  readonly replicas: number | undefined;
  readonly pageEncoding: PageEncoding;
  readonly process: 'own' | 'shared';
}

/** Fills in defaults. Throws OPTIONS_INVALID naming every field that is wrong. */
export function resolveSqliteOptions(input: SqliteOptions = {}): ResolvedSqliteOptions {
  return resolveOptions('sqlite()', input, (read) => ({
    snapshotIntervalMs: read.durationMs('snapshotInterval', { default: 3_600_000, minMs: 1000 }),
    retentionMs: read.durationMs('retention', { default: 86_400_000, minMs: 1000 }),
    keepSnapshots: read.integer('keepSnapshots', { default: 2, min: 1 }),
    compactionLevelsMs: readLevels(read),
    keepSegmentsMs: read.durationMs('keepSegments', { default: 300_000 }),
    verifyIntervalMs: read.durationMs('verifyInterval', { default: 86_400_000 }),
    pollIntervalMs: read.durationMs('pollInterval', { default: 250, minMs: 5, maxMs: 60_000 }),
    verify: read.oneOf('verify', ['quick', 'full', 'none'], { default: 'quick' }),
    busyTimeoutMs: read.durationMs('busyTimeout', { default: 200, maxMs: 10_000 }),
    lockTimeoutMs: read.durationMs('lockTimeout', { default: 30_000, minMs: 100 }),
    checkpointPages: read.integer('checkpointPages', { default: 1000, min: 10 }),
    maxWalBytes: read.integer('maxWal', { default: 256 * 1024 * 1024, min: 1024 * 1024 }),
    stallAfterMs: read.durationMs('stallAfter', { default: 10_000, minMs: 100 }),
    flushStandby: read.boolean('flushStandby', { default: false }),
    replicas: optionalReplicas(read.integer('replicas', { default: 0, min: 1, max: 5 })),
    pageEncoding: read.oneOf('pageEncoding', ['block', 'frame'], { default: 'block' }),
    process: read.oneOf('process', ['own', 'shared'], { default: 'own' }),
  }));
}

function readLevels(read: OptionReader): readonly number[] {
  const given = read.any<readonly Duration[]>('compactionLevels', { default: LEVELS });
  const isList = Array.isArray(given);
  read.check(isList, 'compactionLevels', 'must be a list of durations such as ["30s", "5m", "1h"]');
  if (!isList) return [];
  read.check(
    given.length <= LEVELS_MAX,
    'compactionLevels',
    `has ${given.length} entries, at most ${LEVELS_MAX} are allowed`,
  );
  const levels = given.map((one) => parseDuration(one) ?? 0);
  for (const [i, ms] of levels.entries()) {
    const before = levels[i - 1];
    const shown = JSON.stringify(given[i]);
    read.check(ms >= LEVEL_MIN_MS, 'compactionLevels', `must hold durations of at least 1s, got ${shown}`);
    const fits = before === undefined || before < LEVEL_MIN_MS || (ms > before && ms % before === 0);
    read.check(fits, 'compactionLevels', `must grow by multiples: ${shown} is none of the ${before} ms before it`);
  }
  return levels;
}

function optionalReplicas(value: number): number | undefined {
  return value === 0 ? undefined : value;
}
