/** Named states of the app's database that are kept until they are deleted, and going back to them or to any point. */
import { resolve } from 'node:path';
import type { Position } from '@canopy/core';
import type { DatabaseAccess } from './access.ts';
import { administer } from './app-wal.ts';

export interface Snapshot {
  readonly id: string;
  /** What it shows. */
  readonly position: Position;
  /** Unix ms of the last transaction in it, at its writer. */
  readonly timestamp: number;
  /** When it was made, Unix ms, and on which node. */
  readonly createdAt: number;
  readonly node: string | undefined;
  /** Compressed, in the bucket. */
  readonly storedBytes: number;
  /** Of the database in it; undefined when that is not known. */
  readonly databaseBytes: number | undefined;
}

/** The id of a snapshot, a position of the log, or a moment (Unix ms): the last state written strictly before it. */
export type RestorePoint = string | Position | { readonly timestamp: number } | Date;

export interface SnapshotRestoreOptions {
  /** Replaces a file that is there. Nothing may have it open. Default false. */
  readonly overwrite?: boolean;
  /** Integrity check before the file appears. Default full. */
  readonly check?: 'none' | 'quick' | 'full';
  /** Compressed bytes, several times a second. */
  readonly onProgress?: (progress: RestoreProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface RestoreProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Unknown in the first moments. */
  readonly bytesPerSecond?: number | undefined;
  readonly leftMs?: number | undefined;
}

export interface RestoredDatabase {
  readonly dest: string;
  readonly position: Position;
  /** Unix ms of the last transaction in it, at its writer. */
  readonly timestamp: number;
  readonly sizeBytes: number;
  /** Read, compressed. */
  readonly bytes: number;
  readonly ms: number;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Each call throws APP_DB_NONE, APP_DB_CLOSED, APP_DB_UNSUPPORTED and what the database says. */
export class AppSnapshots {
  readonly #access: DatabaseAccess;
  readonly #app: string;

  constructor(app: string, access: DatabaseAccess) {
    this.#app = app;
    this.#access = access;
  }

  /**
   * On the primary: of everything committed at the call. On a standby: of what is in the log. Without a name it is named
   * after time and position. Throws SQLITE_SNAPSHOT_EXISTS, SQLITE_SNAPSHOT_NAME, BUCKET_FULL.
   */
  create(name?: string, options: CallOptions = {}): Promise<Snapshot> {
    const request = name === undefined ? {} : { name };
    return this.#ask({ op: 'snapshot.create', ...request }, options) as Promise<Snapshot>;
  }

  /** Oldest first. */
  list(options: CallOptions = {}): Promise<readonly Snapshot[]> {
    return this.#ask({ op: 'snapshot.list' }, options) as Promise<readonly Snapshot[]>;
  }

  /** The one made last; undefined when there is none. */
  async latest(options: CallOptions = {}): Promise<Snapshot | undefined> {
    return (await this.list(options)).at(-1);
  }

  /** For good. Throws SQLITE_SNAPSHOT_MISSING. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#ask({ op: 'snapshot.delete', id }, options);
  }

  /**
   * Makes a database file at `dest` on this node, beside the live one, which is not touched. It appears complete and
   * checked, or not at all. Throws SQLITE_SNAPSHOT_MISSING, SQLITE_TARGET_UNREACHABLE, SQLITE_POSITION_UNKNOWN,
   * SQLITE_DESTINATION_EXISTS, SQLITE_DISK_FULL, SQLITE_INTEGRITY_FAILED.
   */
  restore(point: RestorePoint, dest: string, options: SnapshotRestoreOptions = {}): Promise<RestoredDatabase> {
    const { signal, ...rest } = options;
    const request = { op: 'restore', ...targetOf(point), dest: resolve(dest), ...rest };
    return this.#ask(request, { signal }) as Promise<RestoredDatabase>;
  }

  #ask(request: Parameters<typeof administer>[2], options: CallOptions): Promise<unknown> {
    return administer(this.#access, this.#app, request, options);
  }
}

function targetOf(point: RestorePoint): object {
  if (typeof point === 'string') return { id: point };
  if (point instanceof Date) return { timestamp: point.getTime() };
  return 'timestamp' in point ? { timestamp: point.timestamp } : { epoch: Number(point.epoch), txid: point.txid };
}
