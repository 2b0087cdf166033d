/** The options of `sqlite()`: what a user may set, and the resolved record that travels to the database process. */
import { type Duration, resolveOptions } from '@canopy/core';
import type { PageEncoding } from '../ltx/header.ts';

export interface SqliteOptions {
  /** How often a full snapshot is stored while the database changes. Default 1h. */
  readonly snapshotInterval?: Duration;
  /** How long snapshots, and the log between them, are kept. The newest snapshot is always kept. Default 24h. */
  readonly retention?: Duration;
  /** The longest pause between looks at the WAL of an idle database; changes are noticed at once anyway. Default 250ms. */
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
}

export interface ResolvedSqliteOptions {
  readonly snapshotIntervalMs: number;
  readonly retentionMs: number;
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
}

/** Fills in defaults. Throws OPTIONS_INVALID naming every field that is wrong. */
export function resolveSqliteOptions(input: SqliteOptions = {}): ResolvedSqliteOptions {
  return resolveOptions('sqlite()', input, (read) => ({
    snapshotIntervalMs: read.durationMs('snapshotInterval', { default: 3_600_000, minMs: 1000 }),
    retentionMs: read.durationMs('retention', { default: 86_400_000, minMs: 1000 }),
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
  }));
}

function optionalReplicas(value: number): number | undefined {
  return value === 0 ? undefined : value;
}
