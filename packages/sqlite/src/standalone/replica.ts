/** Keeps a copy of a database up to date from its log; any program may read the copy meanwhile. */
import { type DatabaseLag, hasCode, type Position } from '@canopy/core';
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
  readonly #stopped = new AbortController();
  #keeping: Promise<void> | undefined;
  #failure: Error | undefined;

  /** Throws OPTIONS_INVALID, SQLITE_STORE_INVALID. No I/O but a look where symbolic links lead. */
  constructor(options: ReplicaOptions) {
    super('Replica', options, { mustExist: true });
  }

  /** Why it has stopped by itself; undefined while it runs, and when it was stopped. */
  override get failure(): Error | undefined {
    return this.#failure ?? super.failure;
  }

  /**
   * Resolves when the copy follows; the first time it is made from the newest snapshot and what follows it (events
   * `bootstrap_progress`). Throws SQLITE_DESTINATION_INVALID and SQLITE_UNWRITABLE where no
   * copy can be at the path, SQLITE_FOREIGN_FILE when another database lies there, SQLITE_IN_USE,
   * SQLITE_DISK_FULL, BLOB_BUCKET_MISSING when there is no log, NATS_*; then nothing runs. Later it stops by itself
   * (`failure`: SQLITE_FOREIGN_FILE) when another program has written to the copy, and leaves the file as it is.
   */
  start(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.startOnce(options, () => this.#start(options));
  }

  async #start(options: { signal?: AbortSignal | undefined }): Promise<void> {
    await requirePlace(this.status().path);
    try {
      await this.database.start(options);
      this.#keeping ??= this.#keep();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Idempotent. The copy stays as it is, for whoever reads it. */
  override async stop(): Promise<void> {
    this.#stopped.abort();
    await super.stop();
    await this.#keeping;
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

  async #keep(): Promise<void> {
    const { signal } = this.#stopped;
    for await (const event of this.database.watch({ signal })) {
      if (event.type !== 'failed' || !hasCode(event.error, 'SQLITE_FOREIGN_FILE')) continue;
      this.#failure = event.error;
      break;
    }
    if (!signal.aborted) await super.stop();
  }
}
