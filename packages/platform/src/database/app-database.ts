/**
 * The app's database as its own code uses it, for one term in which this node is primary. Invariants: no statement runs
 * and nothing is committed after the term's lease ran out by the clock; the connection is closed before the file changes
 * its nature; whoever commits learns whether it is committed here, and whether it is confirmed.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Clock, type Durability, type Duration, hasCode, messageOf, type Promotable } from '@canopy/core';
import { platformErrors } from '../errors.ts';
import { checkConfirmOptions, confirm } from './confirmation.ts';
import { openConnection, rollBack, tryBegin } from './connection.ts';

/** Bound on waiting for other writers where the caller names none. */
const BUSY_TIMEOUT_MS = 5000;
const BUSY_LOOK_MS = 5;
const BUSY_LOOK_MAX_MS = 50;

export interface TransactionOptions {
  /**
   * When the returned promise resolves: `async` (default) at the commit here, `replicated` when a quorum of the log's
   * servers has it, `{ applied: n }` when n standbys have it in their files as well.
   */
  readonly durability?: 'async' | Durability | undefined;
  /** Bound on the confirmation (default 10s). */
  readonly timeout?: Duration | undefined;
  /** Gives up waiting: for other writers (then nothing is committed), or for the confirmation. */
  readonly signal?: AbortSignal | undefined;
}

export interface AppDatabaseDeps {
  readonly app: string;
  readonly node: string;
  readonly epoch: number;
  readonly database: Promotable;
  readonly clock: Clock;
  /** Why it must not be used at this moment; undefined: it may. From the clock. */
  readonly refusal: () => Error | undefined;
}

/** Given by `app.db()`. Ends with the term; take a new one then. */
export class AppDatabase {
  readonly #deps: AppDatabaseDeps;
  readonly #connection: DatabaseSync;
  #isClosed = false;

  /** Opens the file. */
  constructor(deps: AppDatabaseDeps) {
    this.#deps = deps;
    this.#connection = openConnection(deps.database.status().path);
  }

  /** Of the file on this node. */
  get path(): string {
    return this.#deps.database.status().path;
  }

  /** Of the term in which it may be used. */
  get epoch(): number {
    return this.#deps.epoch;
  }

  /** Node's own connection, for what this class doesn't have. Closed when the term ends. Throws APP_DB_NOT_PRIMARY. */
  get connection(): DatabaseSync {
    this.#require();
    return this.#connection;
  }

  /** Each statement commits by itself, without confirmation. Throws APP_DB_NOT_PRIMARY and what SQLite says. */
  exec(sql: string): void {
    this.connection.exec(sql);
  }

  /** A statement, usable as long as this is. Throws APP_DB_NOT_PRIMARY and what SQLite says. */
  prepare(sql: string): StatementSync {
    return this.connection.prepare(sql);
  }

  /**
   * Runs `run` in a write transaction, which nothing of another program or of this one comes between, and commits it.
   * `run` must not wait for anything: it returns its result, and throws to roll back. Rejects with
   *
   * - what `run` threw, APP_DB_BUSY, APP_DB_NOT_PRIMARY, APP_DB_TRANSACTION, APP_DB_ROLLED_BACK: nothing was committed;
   * - APP_DB_UNCONFIRMED: it is committed on this node, and it is not known whether the next primary will have it.
   *
   * Waiting for other writers (5 s at most) doesn't block this process.
   */
  async transaction<T>(run: (db: DatabaseSync) => T, options: TransactionOptions = {}): Promise<T> {
    const { durability = 'async', signal } = options;
    const timeoutMs = checkConfirmOptions(`transaction of app ${this.#deps.app}`, { ...options, durability });
    const until = this.#deps.clock.monotonic() + BUSY_TIMEOUT_MS;
    signal?.throwIfAborted();
    // From the beginning to the commit nothing is awaited: nothing else of this process gets in between.
    for (let pauseMs = BUSY_LOOK_MS; !this.#begin(until); pauseMs = Math.min(BUSY_LOOK_MAX_MS, pauseMs * 2))
      await this.#deps.clock.sleep(pauseMs, { signal });
    const value = this.#commit(this.#run(run));
    if (durability !== 'async') await this.#confirm(durability, timeoutMs, signal);
    return value;
  }

  /** For the platform: the term ends. What is open is rolled back, and nothing can be done with the connection any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    rollBack(this.#connection);
    if (this.#connection.isOpen) this.#connection.close();
  }

  #require(): void {
    const refusal = this.#deps.refusal();
    if (refusal !== undefined) throw refusal;
  }

  /** False: another program has the write lock, and there is time left to wait for it. */
  #begin(until: number): boolean {
    const { app, clock } = this.#deps;
    this.#require();
    if (this.#connection.isTransaction)
      throw platformErrors.create('APP_DB_TRANSACTION', { app, problem: 'one is open on the connection already' });
    if (tryBegin(this.#connection)) return true;
    if (clock.monotonic() < until) return false;
    throw platformErrors.create('APP_DB_BUSY', { app, timeoutMs: BUSY_TIMEOUT_MS });
  }

  #run<T>(run: (db: DatabaseSync) => T): T {
    const { app } = this.#deps;
    try {
      const value = run(this.#connection);
      const problem = this.#misuse(value);
      if (problem !== undefined) throw platformErrors.create('APP_DB_TRANSACTION', { app, problem });
      return value;
    } catch (error) {
      rollBack(this.#connection);
      throw error;
    }
  }

  #misuse(value: unknown): string | undefined {
    if (typeof (value as PromiseLike<unknown> | null)?.then === 'function') {
      (value as PromiseLike<unknown>).then(undefined, () => {});
      return 'its function returned a promise: what it waits for would keep every other writer out';
    }
    return this.#connection.isTransaction ? undefined : 'its function ended it by itself';
  }

  #commit<T>(value: T): T {
    const { app } = this.#deps;
    // The function may have taken long, and this process may have been frozen in it.
    const refusal = this.#deps.refusal();
    try {
      if (refusal !== undefined) throw refusal;
      this.#connection.exec('COMMIT');
      return value;
    } catch (error) {
      rollBack(this.#connection);
      throw platformErrors.create('APP_DB_ROLLED_BACK', { app, reason: messageOf(error) }, error);
    }
  }

  async #confirm(durability: Durability, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { app, node, database, clock, epoch } = this.#deps;
    try {
      const position = await confirm(database, clock, { durability, timeoutMs, signal });
      if (position.epoch !== epoch) throw new Error(`the database is primary under epoch ${position.epoch} by now`);
    } catch (error) {
      const isReplicated = hasCode(error, 'SQLITE_NOT_APPLIED');
      const reason = messageOf(error);
      throw platformErrors.create('APP_DB_UNCONFIRMED', { app, node, epoch, isReplicated, reason }, error);
    }
  }
}
