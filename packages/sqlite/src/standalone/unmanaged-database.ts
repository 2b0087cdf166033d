/** A database process of one's own, without a platform: what `Primary` and `Replica` have in common. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { type DatabaseEvent, type DatabaseStatus, type Env, type ProcessGuard, systemEnv } from '@canopy/core';
import { SqliteDatabase } from '../database/database.ts';
import { resolveSqliteOptions, type SqliteOptions } from '../database/options.ts';
import type { DatabaseSpec } from '../process/protocol.ts';
import { parseStore, type StoreOption } from './store-option.ts';

export interface UnmanagedOptions extends SqliteOptions {
  /** Path of the database file. */
  readonly db: string;
  /** Where the log is kept. A primary makes it where there is none. */
  readonly store: StoreOption;
  /** Names this copy in the log and in messages. Default: the host's name. */
  readonly node?: string;
  readonly env?: Env;
}

/** Nobody has to end the process for us: it ends with its parent. */
const NO_GUARD: ProcessGuard = { register: async () => {}, unregister: async () => {} };

export function unmanagedDatabase(options: UnmanagedOptions, mustExist: boolean): SqliteDatabase {
  return new SqliteDatabase(
    { ...unmanagedSpec(options), mustExist },
    { env: options.env ?? systemEnv(), guard: NO_GUARD },
  );
}

/** Throws SQLITE_STORE_INVALID, OPTIONS_INVALID. */
export function unmanagedSpec(options: UnmanagedOptions): DatabaseSpec {
  const { db, store, node = hostname(), env: _, ...rest } = options;
  const place = parseStore(store);
  return {
    path: resolve(db),
    platform: 'canopy',
    app: place.store.kind === 'nats' ? place.store.bucket : 'directory',
    node,
    connection: place.connection,
    options: resolveSqliteOptions(rest),
    store: place.store,
    unmanaged: true,
  };
}

/** What both offer of the database behind them. */
export abstract class UnmanagedDatabase implements AsyncDisposable {
  protected readonly database: SqliteDatabase;
  #gaveUp: Error | undefined;

  /** With `mustExist` a log that is not there is an error. */
  constructor(options: UnmanagedOptions, { mustExist = false }: { readonly mustExist?: boolean } = {}) {
    this.database = unmanagedDatabase(options, mustExist);
    void this.database.givenUp.then((error) => {
      this.#gaveUp = error;
      return this.stop();
    });
  }

  /** Why it has stopped by itself: its process died again and again. Undefined while it runs, and when it was stopped. */
  get failure(): Error | undefined {
    return this.#gaveUp;
  }

  /** From memory, at once. What is unknown is undefined. */
  status(): DatabaseStatus {
    return this.database.status();
  }

  /** The present role first, then events as they happen. */
  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<DatabaseEvent> {
    return this.database.watch(options);
  }

  /** Idempotent. A primary ships what is committed first. The file stays as it is, for whoever uses it. */
  stop(): Promise<void> {
    return this.database.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
