/** A database process of one's own, without a platform: what `Primary` and `Replica` have in common. */
import { hostname } from 'node:os';
import {
  abortable,
  type DatabaseEvent,
  type DatabaseStatus,
  type Env,
  type ProcessGuard,
  resolveOptions,
  systemEnv,
} from '@canopy/core';
import { requireCallOptions } from '../database/call-checks.ts';
import { SqliteDatabase } from '../database/database.ts';
import { resolveSqliteOptions, type SqliteOptions } from '../database/options.ts';
import { realDatabasePath } from '../database/real-path.ts';
import type { DatabaseSpec } from '../process/protocol.ts';
import { parseStore, type StoreOption } from './store-option.ts';

export interface UnmanagedOptions extends SqliteOptions {
  /** Path of the database file; symbolic links at it are followed once, when this is made. */
  readonly db: string;
  /** Where the log is kept. A primary makes it where there is none. */
  readonly store: StoreOption;
  /** Names this copy in the log and in messages. Default: the host's name. */
  readonly node?: string;
  readonly env?: Env;
}

/** Nobody has to end the process for us: it ends with its parent. */
const NO_GUARD: ProcessGuard = { register: async () => {}, unregister: async () => {} };

function unmanagedDatabase(subject: string, options: UnmanagedOptions, mustExist: boolean): SqliteDatabase {
  requireParts(subject, options);
  return new SqliteDatabase(
    { ...unmanagedSpec(options), mustExist },
    { env: options.env ?? systemEnv(), guard: NO_GUARD },
  );
}

/** How long a status waits for the process. */
const REFRESH_MS = 2000;

/** What is wrong with these would show late, and as somebody else's error. Throws OPTIONS_INVALID. */
function requireParts(subject: string, options: UnmanagedOptions): void {
  const { db, node, env } = options ?? {};
  resolveOptions(subject, options && { db, node, env }, (read) => {
    const path = read.string('db', { required: true });
    read.check(!path.includes('\0'), 'db', 'must be a path, without NUL');
    read.optionalString('node');
    const given = read.any<Partial<Env> | undefined>('env');
    const isEnv = given === undefined || (given?.clock && given.random && given.log) !== undefined;
    read.check(isEnv, 'env', 'must be an Env, such as systemEnv() gives');
  });
}

/** Throws SQLITE_STORE_INVALID, OPTIONS_INVALID. */
export function unmanagedSpec(options: UnmanagedOptions): DatabaseSpec {
  const { db, store, node = hostname(), env: _, ...rest } = options;
  const place = parseStore(store);
  return {
    path: realDatabasePath(db),
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
  #begun: Promise<unknown> | undefined;

  /** With `mustExist` a log that is not there is an error. `subject` names it in what is said of faulty options. */
  constructor(
    subject: string,
    options: UnmanagedOptions,
    { mustExist = false }: { readonly mustExist?: boolean } = {},
  ) {
    this.database = unmanagedDatabase(subject, options, mustExist);
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

  /**
   * The status as it is now, asked of the database process. One that does not answer within `timeoutMs` (default 2 s) is the
   * status's `problem`, here and in `status()`, until it does; then the lag is unknown.
   */
  refresh(timeoutMs: number = REFRESH_MS): Promise<DatabaseStatus> {
    return this.database.refresh(timeoutMs);
  }

  /** Whoever starts it meanwhile, or again, gets the one start; the first caller's signal ends it, another's only the waiting. */
  protected async startOnce<T>(options: { signal?: AbortSignal | undefined }, start: () => Promise<T>): Promise<T> {
    requireCallOptions('start()', options);
    if (this.#begun !== undefined) return abortable(this.#begun as Promise<T>, options.signal);
    const begun = start();
    this.#begun = begun;
    begun.catch(() => {
      this.#begun = undefined;
    });
    return begun;
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
