/** What a primary is opened with: its surroundings, and where its file stands in the log. */
import type { DatabaseEvent, Env, Epoch, Position } from '@canopy/core';
import type { ResolvedSqliteOptions } from '../database/options.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { WalCursor } from '../wal/reader.ts';

export interface PrimaryDeps {
  readonly path: string;
  readonly node: string;
  readonly epoch: Epoch;
  readonly env: Env;
  readonly log: SegmentLog;
  readonly options: ResolvedSqliteOptions;
  /** Whether NATS is reached now. Absent: the log is not in NATS. */
  isConnected?(): boolean;
  onEvent(event: DatabaseEvent): void;
  /** Position, size or problem changed. */
  onChange(): void;
}

export interface PrimaryStart {
  /** The log's end. */
  readonly position: Position;
  /** Where in the WAL that is; undefined: at its start. */
  readonly cursor: WalCursor | undefined;
  readonly restartable: boolean;
  /** Pages of the database at `position`. */
  readonly commit: number;
  /** The log is ours already, or is to be taken with what the WAL has after the cursor, or with a full image. */
  readonly claim: 'done' | 'frames' | 'image';
  /** A full image of its own is to follow at once: the log before the claim can't be gone on with. */
  readonly imageSoon?: boolean;
}
