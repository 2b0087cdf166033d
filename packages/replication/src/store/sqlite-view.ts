/** Reads a store's file through one connection: the present of a store, or one moment of it within a read transaction. */
import { DatabaseSync } from 'node:sqlite';
import { assert } from '@canopy/core';
import type { AtomicStoreView, ScanOptions } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';
import { storeFailure } from './sqlite-failure.ts';
import { type KeyRange, SqliteSpaces, type Statements } from './sqlite-spaces.ts';
import { checkKey, checkSpace, compareKeys, prefixEnd, storeClosed } from './store-key.ts';

const SCAN_LIMIT = 1000;

export class SqliteView implements AtomicStoreView {
  readonly #store: string;
  readonly #spaces: SqliteSpaces;
  readonly #onClose: () => void;
  #database: DatabaseSync | undefined;

  constructor(store: string, database: DatabaseSync, spaces: SqliteSpaces, onClose: () => void) {
    this.#store = store;
    this.#database = database;
    this.#spaces = spaces;
    this.#onClose = onClose;
  }

  /** The file as it is now, on a connection of its own. */
  static ofNow(path: string, timeoutMs: number, onClose: (view: SqliteView) => void): SqliteView {
    const database = new DatabaseSync(path, { readOnly: true, timeout: timeoutMs });
    try {
      // The first read begins the transaction.
      database.exec('BEGIN; SELECT count(*) FROM spaces');
    } catch (error) {
      database.close();
      throw error;
    }
    const view: SqliteView = new SqliteView(path, database, new SqliteSpaces(database), () => onClose(view));
    return view;
  }

  get(space: string, key: string): Json | undefined {
    const text = this.text(space, key);
    return text === undefined ? undefined : (JSON.parse(text) as Json);
  }

  /** The value as it is kept. */
  text(space: string, key: string): string | undefined {
    checkKey(this.#store, key);
    return this.#read(space, (table) => table.get.get(key))?.value as string | undefined;
  }

  version(space: string, key: string): number {
    checkKey(this.#store, key);
    return Number(this.#read(space, (table) => table.writes.get(key))?.writes ?? 0);
  }

  scan(space: string, options: ScanOptions = {}): readonly (readonly [key: string, value: Json])[] {
    const { after, prefix = '', limit = SCAN_LIMIT } = options;
    assert(Number.isSafeInteger(limit) && limit >= 0, 'a limit is a whole number from 0');
    const range: KeyRange =
      after === undefined || compareKeys(after, prefix) < 0
        ? { over: '>=', start: prefix, end: prefixEnd(prefix) }
        : { over: '>', start: after, end: prefixEnd(prefix) };
    const rows = this.#read(space, (table) => table.scan(range, limit)) ?? [];
    return rows.map(({ key, value }) => [key, JSON.parse(value) as Json]);
  }

  count(space: string): number {
    return Number(this.#read(space, (table) => table.count.get())?.count ?? 0);
  }

  close(): void {
    if (this.#database === undefined) return;
    const database = this.#database;
    this.#database = undefined;
    this.#onClose();
    database.close();
  }

  #read<T>(space: string, read: (table: Statements) => T): T | undefined {
    if (this.#database === undefined) throw storeClosed(this.#store);
    checkSpace(this.#store, space);
    try {
      const table = this.#spaces.find(space);
      return table === undefined ? undefined : read(table);
    } catch (error) {
      throw storeFailure(this.#store, error);
    }
  }
}
