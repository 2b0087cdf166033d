/**
 * The tables of a store in a SQLite file, seen through one connection. Each space is a table of its own, found by name through `spaces`, so
 * that a move changes two rows of that list whatever the sizes. Tables have row ids: measured, random updates cost a third of
 * what they cost with rows kept in the order of their keys, reading all of them in order twice as much. Persisted format: only add.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { SpaceMove } from '../ports/atomic-store.ts';

/** Written into the file: "Cnpr". */
export const APPLICATION_ID = 0x436e7072;
export const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE spaces(name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION}`;

/** One lower bound only: of two, SQLite would seek to one and read on from there to the other. */
export interface KeyRange {
  readonly over: '>' | '>=';
  readonly start: string;
  /** Exclusive. */
  readonly end: string | undefined;
}

export interface Statements {
  readonly get: StatementSync;
  readonly writes: StatementSync;
  readonly put: StatementSync;
  readonly remove: StatementSync;
  readonly count: StatementSync;
  readonly scan: (range: KeyRange, limit: number) => Row[];
}

export interface Row {
  readonly key: string;
  readonly value: string;
}

export class SqliteSpaces {
  readonly #database: DatabaseSync;
  /** Name → number of the table; as this connection sees it, uncommitted changes included. */
  #numbers: Map<string, number> | undefined;
  readonly #statements = new Map<number, Statements>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** In a new file, within a transaction. */
  static createSchema(database: DatabaseSync): void {
    database.exec(SCHEMA);
  }

  find(space: string): Statements | undefined {
    const number = this.#all().get(space);
    return number === undefined ? undefined : this.#prepared(number);
  }

  /** Makes the space when it is not there. Within a transaction. */
  ensure(space: string): Statements {
    const known = this.find(space);
    if (known !== undefined) return known;
    const numbers = this.#all();
    const number = Math.max(0, ...numbers.values()) + 1;
    this.#database.prepare('INSERT INTO spaces(name, number) VALUES (?, ?)').run(space, number);
    this.#database.exec(
      `CREATE TABLE space_${number}(key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, writes INTEGER NOT NULL)`,
    );
    numbers.set(space, number);
    return this.#prepared(number);
  }

  /** Within a transaction. */
  move({ from, to }: SpaceMove): void {
    if (from === to) return;
    const numbers = this.#all();
    const replaced = numbers.get(to);
    const moved = numbers.get(from);
    if (replaced !== undefined) {
      this.#statements.delete(replaced);
      this.#database.prepare('DELETE FROM spaces WHERE name = ?').run(to);
      this.#database.exec(`DROP TABLE space_${replaced}`);
      numbers.delete(to);
    }
    if (moved === undefined) return;
    this.#database.prepare('UPDATE spaces SET name = ? WHERE name = ?').run(to, from);
    numbers.delete(from);
    numbers.set(to, moved);
  }

  /** After a rollback: what this object believed of spaces may never have been. */
  forget(): void {
    this.#numbers = undefined;
    this.#statements.clear();
  }

  #all(): Map<string, number> {
    this.#numbers ??= new Map(
      this.#database
        .prepare('SELECT name, number FROM spaces')
        .all()
        .map(({ name, number }) => [name as string, number as number]),
    );
    return this.#numbers;
  }

  #prepared(number: number): Statements {
    const known = this.#statements.get(number);
    if (known !== undefined) return known;
    const table = `space_${number}`;
    const prepare = (sql: string): StatementSync => this.#database.prepare(sql);
    const scans = new Map<string, StatementSync>();
    const statements: Statements = {
      get: prepare(`SELECT value FROM ${table} WHERE key = ?`),
      writes: prepare(`SELECT writes FROM ${table} WHERE key = ?`),
      put: prepare(`INSERT INTO ${table}(key, value, writes) VALUES (?, ?, 1)
        ON CONFLICT(key) DO UPDATE SET value = excluded.value, writes = writes + 1`),
      remove: prepare(`DELETE FROM ${table} WHERE key = ?`),
      count: prepare(`SELECT count(*) AS count FROM ${table}`),
      scan: (range, limit) => {
        const where = range.end === undefined ? '' : 'AND key < $end';
        const sql = `SELECT key, value FROM ${table} WHERE key ${range.over} $start ${where} ORDER BY key LIMIT $limit`;
        const statement = scans.get(sql) ?? prepare(sql);
        scans.set(sql, statement);
        const end = range.end === undefined ? {} : { $end: range.end };
        return statement.all({ $start: range.start, $limit: limit, ...end }) as unknown as Row[];
      },
    };
    this.#statements.set(number, statements);
    return statements;
  }
}
