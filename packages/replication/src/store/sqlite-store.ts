/**
 * A store in one SQLite file, in WAL mode. One commit is one transaction, so whatever ends the process leaves the file as it was
 * before or after it. The file belongs to one store at a time (`store-lock.ts`); snapshots read through connections of their own.
 */
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { makeDirectory, resolveOptions } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { AtomicStoreView, ScanOptions, SpaceMove, SpaceStore, StoreChange } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';
import { storeFailure } from './sqlite-failure.ts';
import { APPLICATION_ID, SCHEMA_VERSION, SqliteSpaces } from './sqlite-spaces.ts';
import { SqliteView } from './sqlite-view.ts';
import { checkKey, checkSpace, storeClosed, valueText } from './store-key.ts';
import { StoreLock } from './store-lock.ts';
import { TextCache } from './text-cache.ts';

/** Pages in the WAL (4 KiB each) after which a commit also writes them into the file: fewer costs more writing. */
const CHECKPOINT_PAGES = 4000;
const CACHE_KIB = 32_000;
/** What a large transaction leaves of the WAL afterwards. */
const WAL_BYTES_KEPT = 64 * 1024 * 1024;

/**
 * What a commit survives once it has returned. `full`: the death of the process, and a loss of power, as far as the disk keeps what it
 * confirmed; each commit waits for the disk. `process`: the death of the process; a loss of power may take
 * the last commits, in their order from the end, and damages nothing. A replica then reads them from the log again; an
 * outbox that nobody else has seen is lost with them.
 */
export type StoreDurability = 'full' | 'process';

export interface SqliteStoreOptions {
  /** The file; it and its directories are made. `-wal`, `-shm`, `-lock` and `-lock.pid` lie beside it. */
  readonly path: string;
  /** Default `full`. */
  readonly durability?: StoreDurability;
  /**
   * How long a call waits, blocking its process, for another program's lock on the file, and the opening for a predecessor that is
   * just ending. Milliseconds, default 1000, at most a minute.
   */
  readonly busyTimeoutMs?: number;
}

export class SqliteStore implements SpaceStore {
  readonly path: string;
  readonly #busyTimeoutMs: number;
  readonly #database: DatabaseSync;
  readonly #lock: StoreLock;
  readonly #spaces: SqliteSpaces;
  readonly #present: SqliteView;
  readonly #texts = new TextCache();
  readonly #dataVersion: StatementSync;
  /** Changes with each commit of another connection, and only then. */
  #seenVersion: unknown;
  readonly #snapshots = new Set<SqliteView>();
  #closed = false;

  private constructor(path: string, busyTimeoutMs: number, database: DatabaseSync, lock: StoreLock) {
    this.path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
    this.#database = database;
    this.#lock = lock;
    this.#spaces = new SqliteSpaces(database);
    this.#present = new SqliteView(path, database, this.#spaces, () => {});
    this.#dataVersion = database.prepare('PRAGMA data_version');
  }

  /**
   * Throws STATE_STORE_IN_USE while another store has the file open, here or in another process, STATE_STORE_VERSION for a file of another
   * program or a newer version, STATE_STORE_FAILED for a damaged one, OPTIONS_INVALID.
   */
  static open(options: SqliteStoreOptions): SqliteStore {
    const { given, durability, busyTimeoutMs } = resolveOptions('state store', options, (read) => ({
      given: resolve(read.string('path', { required: true })),
      durability: read.oneOf('durability', ['full', 'process'], { default: 'full' }),
      busyTimeoutMs: read.integer('busyTimeoutMs', { default: 1000, min: 0, max: 60_000 }),
    }));
    const undo: (() => void)[] = [];
    try {
      makeDirectory(dirname(given));
      const path = realPath(given);
      const lock = new StoreLock(path, busyTimeoutMs);
      undo.push(() => lock.release());
      const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
      undo.push(() => database.close());
      prepareFile(path, database, durability);
      return new SqliteStore(path, busyTimeoutMs, database, lock);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw storeFailure(given, error);
    }
  }

  get(space: string, key: string): Json | undefined {
    const known = this.#texts.get(space, key);
    if (known !== undefined) return known === null ? undefined : (JSON.parse(known) as Json);
    const text = this.#present.text(space, key);
    this.#texts.keep(space, key, text ?? null);
    return text === undefined ? undefined : (JSON.parse(text) as Json);
  }

  commit(changes: readonly StoreChange[], moves: readonly SpaceMove[] = []): void {
    if (this.#closed) throw storeClosed(this.path);
    for (const { from, to } of moves) for (const space of [from, to]) checkSpace(this.path, space);
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      for (const move of moves) this.#spaces.move(move);
      const done: [space: string, key: string, text: string | undefined][] = [];
      for (const change of changes) done.push([change.space, change.key, this.#carryOut(change)]);
      this.#database.exec('COMMIT');
      if (moves.length > 0) this.#texts.clear();
      if (!this.#texts.isEmpty) for (const [space, key, text] of done) this.#texts.committed(space, key, text ?? null);
    } catch (error) {
      this.#rollBack();
      throw storeFailure(this.path, error);
    }
  }

  version(space: string, key: string): number {
    return this.#present.version(space, key);
  }

  scan(space: string, options?: ScanOptions): readonly (readonly [key: string, value: Json])[] {
    if (!this.#closed) this.#noticeOthers();
    return this.#present.scan(space, options);
  }

  count(space: string): number {
    return this.#present.count(space);
  }

  snapshot(): AtomicStoreView {
    if (this.#closed) throw storeClosed(this.path);
    try {
      const view = SqliteView.ofNow(this.path, this.#busyTimeoutMs, (closed) => this.#snapshots.delete(closed));
      this.#snapshots.add(view);
      return view;
    } catch (error) {
      throw storeFailure(this.path, error);
    }
  }

  /** Open snapshots end with it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#texts.clear();
    for (const view of this.#snapshots) view.close();
    try {
      this.#present.close();
    } finally {
      this.#lock.release();
    }
  }

  /** Returns the text that the key has then. */
  #carryOut({ space, key, value }: StoreChange): string | undefined {
    checkSpace(this.path, space);
    checkKey(this.path, key);
    if (value === undefined) {
      this.#spaces.find(space)?.remove.run(key);
      return undefined;
    }
    const text = valueText(this.path, value);
    this.#spaces.ensure(space).put.run(key, text);
    return text;
  }

  /** The file is this store's alone, but nothing stops a person with a shell: what they changed counts from the next scan on. */
  #noticeOthers(): void {
    if (this.#texts.isEmpty) return;
    let version: unknown;
    try {
      version = this.#dataVersion.get()?.data_version;
    } catch {
      // What follows meets the same fault, and says so.
    }
    if (version === undefined || version !== this.#seenVersion) this.#texts.clear();
    this.#seenVersion = version;
  }

  #rollBack(): void {
    this.#spaces.forget();
    this.#texts.clear();
    // SQLite has rolled back by itself after some errors, such as a full disk.
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
  }
}

/** One file has one lock, whatever links lead to it. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path));
}

function prepareFile(path: string, database: DatabaseSync, durability: StoreDurability): void {
  const number = (name: string): number => Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
  const refuse = (problem: string): Error => replicationErrors.create('STATE_STORE_VERSION', { store: path, problem });
  const isNew = number('schema_version') === 0;
  if (!isNew && number('application_id') !== APPLICATION_ID) throw refuse("the file is another program's database");
  const version = number('user_version');
  if (version > SCHEMA_VERSION) throw refuse(`it has version ${version}; this program knows up to ${SCHEMA_VERSION}`);
  database.exec(`PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'};
    PRAGMA cache_size = ${-CACHE_KIB};
    PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
    PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`);
  if (!isNew) return;
  database.exec('BEGIN IMMEDIATE');
  SqliteSpaces.createSchema(database);
  database.exec('COMMIT');
}
