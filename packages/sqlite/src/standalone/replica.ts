/** Keeps a copy of a database up to date from its log; any program may read the copy meanwhile. */
import { resolve } from 'node:path';
import type { DatabaseLag, Position } from '@canopy/core';
import { requirePlace } from '../restore/destination.ts';
import { UnmanagedDatabase, type UnmanagedOptions } from './unmanaged-database.ts';

export interface ReplicaOptions extends UnmanagedOptions {}

/**
 * ```ts
 * const replica = new Replica({ db: 'copy.db', store: 'nats://127.0.0.1:4222/orders' });
 * await replica.start();
 * await replica.waitFor(position); // read your writes
 * ```
 * Readers open the file for writing with `PRAGMA query_only=1` and a busy timeout; nobody writes it. To make a copy the
 * primary: stop the replica and start a `Primary` on the same file and store.
 */
export class Replica extends UnmanagedDatabase {
  readonly #path: string;

  /** Throws OPTIONS_INVALID, SQLITE_STORE_INVALID. No I/O. */
  constructor(options: ReplicaOptions) {
    super(options, { mustExist: true });
    this.#path = resolve(options.db);
  }

  /**
   * Resolves when the copy follows; the first time it is made from the newest snapshot and what follows it (events
   * `bootstrap_progress`). Throws SQLITE_DESTINATION_INVALID and SQLITE_UNWRITABLE where no
   * copy can be at the path, SQLITE_FOREIGN_FILE when another database lies there, SQLITE_IN_USE,
   * SQLITE_DISK_FULL, BLOB_BUCKET_MISSING when there is no log, NATS_*; then nothing runs.
   */
  async start(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await requirePlace(this.#path);
    try {
      await this.database.start(options);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** What the copy holds. */
  get position(): Position {
    return this.status().position;
  }

  /** How far it is behind the log; undefined where that is not known. */
  get lag(): DatabaseLag {
    return this.status().lag;
  }

  /** Resolves once the copy holds `position`; rejects with the signal's reason. */
  waitFor(position: Position, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.database.waitFor(position, options);
  }
}
