/**
 * Replicates a database that other programs write, as they write it, into a log. Starting takes the log over: whoever wrote
 * it before finds itself fenced and stops. Invariant: once fenced it never writes again.
 */
import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import {
  type DatabaseEvent,
  type Epoch,
  epoch,
  hasCode,
  messageOf,
  optionsInvalid,
  type Position,
  type SyncOptions,
  systemEnv,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { requirePlace } from '../restore/destination.ts';
import { parseStore } from './store-option.ts';
import { UnmanagedDatabase, type UnmanagedOptions } from './unmanaged-database.ts';

export interface PrimaryOptions extends UnmanagedOptions {
  /** Make the database from the log, or empty where that is, when there is none at the path. Default false: it is refused. */
  readonly create?: boolean;
}

/** What a primary can't go on after: somebody has to decide. */
const FINAL = ['SQLITE_FILE_REPLACED', 'SQLITE_FOREIGN_FILE', 'SQLITE_LOG_LOST', 'SQLITE_LOG_BEHIND'] as const;

/** Whether a primary stops of this: its `failure`. Anything else it goes on after. */
export function endsPrimary(error: unknown): boolean {
  return hasCode(error, ...FINAL);
}

/**
 * ```ts
 * const primary = new Primary({ db: 'orders.db', store: 'nats://127.0.0.1:4222/orders' });
 * await primary.start();
 * await primary.sync(); // what was committed before this call is in the log
 * ```
 */
export class Primary extends UnmanagedDatabase {
  readonly #log: ReturnType<typeof systemEnv>['log'];
  readonly #label: string;
  readonly #node: string;
  readonly #stopped = new AbortController();
  #keeping: Promise<void> | undefined;
  readonly #mayCreate: boolean;
  #fenced: Error | undefined;
  #failure: Error | undefined;

  /** Throws OPTIONS_INVALID, SQLITE_STORE_INVALID. No I/O but a look where symbolic links lead. */
  constructor(given: PrimaryOptions) {
    const { create = false, ...options } = given ?? {};
    if (typeof create !== 'boolean')
      throw optionsInvalid('Primary', [{ field: 'create', problem: 'must be true or false' }]);
    super('Primary', options);
    this.#mayCreate = create;
    this.#log = (options.env ?? systemEnv()).log;
    this.#label = parseStore(options.store).label;
    this.#node = options.node ?? hostname();
  }

  /** Another primary has taken the log. This one has stopped; what it had not shipped is in its file. */
  get isFenced(): boolean {
    return this.#fenced !== undefined;
  }

  /** Why it has stopped by itself; undefined while it runs, and when it was stopped. */
  override get failure(): Error | undefined {
    return this.#fenced ?? this.#failure ?? super.failure;
  }

  /**
   * Resolves when commits are being shipped. The file may be in use; where there is none, or an empty one,
   * that is SQLITE_FILE_MISSING unless `create`: taking the log for it would fence whoever has it. After a
   * loss of power a file that may lack what the log has is brought to the log's end before, what differs is kept aside
   * (`divergence_kept`), and no program may have it open meanwhile (SQLITE_DATABASE_BUSY). Throws
   * SQLITE_DESTINATION_INVALID and SQLITE_UNWRITABLE where no database can be at the path,
   * SQLITE_FOREIGN_FILE when file and log are not of one history, SQLITE_FENCED when another primary is just starting,
   * SQLITE_IN_USE, SQLITE_DATABASE_BUSY, BLOB_BUCKET_MISSING when a log that was there is gone, NATS_*; then nothing runs.
   */
  start(options: { signal?: AbortSignal | undefined } = {}): Promise<Position> {
    return this.startOnce(options, () => this.#start(options.signal ?? new AbortController().signal));
  }

  async #start(signal: AbortSignal): Promise<Position> {
    const { path } = this.status();
    if (!this.#mayCreate && (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0)
      throw sqliteErrors.create('SQLITE_FILE_MISSING', { path });
    await requirePlace(path);
    try {
      await this.database.start({ signal });
      const position = await this.#take(signal);
      this.#keeping ??= this.#keep();
      return position;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Everything committed before the call is durably in the log when this resolves. Throws SQLITE_FENCED, SQLITE_STOPPED. */
  async sync(options: SyncOptions = {}): Promise<Position> {
    if (this.failure !== undefined) throw this.failure;
    return this.database.sync(options);
  }

  /** Idempotent. Ships what is committed first; where that can't be done, `status().problem` says so afterwards. */
  override async stop(): Promise<void> {
    this.#stopped.abort();
    await super.stop();
    await this.#keeping;
  }

  /** Under the epoch after the log's: an election would have given it; without one, who starts last has it. */
  #take(signal: AbortSignal): Promise<Position> {
    const { position, logEnd } = this.status();
    const next: Epoch = epoch(Math.max(position.epoch, logEnd?.epoch ?? 0) + 1);
    return this.database.promote({ epoch: next, signal });
  }

  #fencedBy(event: Extract<DatabaseEvent, { type: 'fenced' }>): Error {
    return sqliteErrors.create('SQLITE_FENCED', {
      bucket: this.#label,
      txid: event.position.txid,
      epoch: this.status().position.epoch,
      node: this.#node,
      takenEpoch: event.epoch,
      takenNode: 'another node',
    });
  }

  /** The database process may die: it comes back as a standby, and takes its own log again unless somebody else has. */
  async #keep(): Promise<void> {
    const { signal } = this.#stopped;
    for await (const event of this.database.watch({ signal })) {
      if (event.type === 'fenced') {
        this.#fenced = this.#fencedBy(event);
        break;
      }
      if (event.type === 'failed' && endsPrimary(event.error)) {
        this.#failure = event.error;
        break;
      }
      if (event.type !== 'role_changed' || event.role !== 'standby' || this.status().role !== 'standby') continue;
      try {
        await this.#take(signal);
      } catch (error) {
        // It comes back as a standby again, or is given up.
        if (signal.aborted || hasCode(error, 'SQLITE_PROCESS_DIED')) continue;
        this.#log.error('log_not_taken', { reason: messageOf(error) });
        if (hasCode(error, 'SQLITE_FENCED', 'SQLITE_EPOCH_STALE')) this.#fenced = error;
        else this.#failure = error instanceof Error ? error : new Error(messageOf(error));
        break;
      }
    }
    if (!signal.aborted) await super.stop();
  }
}
