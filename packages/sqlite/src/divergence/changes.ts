/**
 * The readable side of a divergence: which rows differ between the file that is kept and the log's state at the fork,
 * one JSON object a line. Invariant: whatever differs has a line, a row with its exact values or a reason why there are none (a
 * virtual table, other columns, a row too long, a list too long). The kept database itself is the complete record.
 */
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '@canopy/core';
import { type Encode, prepareExactness } from './exact-sql.ts';
import type { ChangeKind } from './row-change.ts';
import { compareRows } from './row-compare.ts';
import { describeColumns, schemaProblems } from './schema-compare.ts';
import { quoteName, readTables, type TableShape } from './table-shape.ts';

export interface ListLimits {
  /** Rows of one table. Default 1,000,000. */
  readonly rows: number;
  /** Bytes of the whole list. Default 1 GiB. */
  readonly bytes: number;
}

const LIMITS: ListLimits = { rows: 1_000_000, bytes: 1024 ** 3 };

/** How many rows differ, and of which kind. */
export interface TableChanges {
  readonly table: string;
  readonly rows: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly problem?: string;
}

export interface ChangesSummary {
  /** Rows that differ, in all tables compared. */
  readonly rows: number;
  /** Of every table that the two don't share exactly. */
  readonly tables: readonly TableChanges[];
}

/**
 * Compares `kept` with `fork` (both complete, closed SQLite files) and hands each line to `write`. Neither file is
 * changed. A table that cannot be read is reported as such; the rest is still compared. Beyond the limits rows are only counted, and
 * a line says how many. Throws what SQLite throws where a file cannot be read at all.
 */
export function listChanges(
  kept: string,
  fork: string,
  write: (line: string) => void,
  limits: Partial<ListLimits> = {},
): ChangesSummary {
  const connection = new DatabaseSync(kept, { readOnly: true, timeout: 1000 });
  try {
    connection.prepare('ATTACH DATABASE ? AS fork').run(fork);
    return new Listing(connection, write, { ...LIMITS, ...limits }).list();
  } finally {
    connection.close();
  }
}

class Listing {
  readonly #connection: DatabaseSync;
  readonly #write: (line: string) => void;
  readonly #limits: ListLimits;
  readonly #encode: Encode;
  readonly #tables: TableChanges[] = [];
  #bytes = 0;

  constructor(connection: DatabaseSync, write: (line: string) => void, limits: ListLimits) {
    this.#connection = connection;
    this.#write = write;
    this.#limits = limits;
    this.#encode = prepareExactness(connection);
  }

  list(): ChangesSummary {
    const before = new Map(readTables(this.#connection, 'fork').map((table) => [table.name, table]));
    const now = readTables(this.#connection, 'main');
    const names = new Set(now.map((table) => table.name));
    for (const problem of schemaProblems(this.#connection)) this.#line(problem);
    for (const table of now) this.#compare(table, before.get(table.name), now, before);
    for (const table of before.values()) if (!names.has(table.name)) this.#missing(table);
    return { rows: this.#tables.reduce((sum, table) => sum + table.rows, 0), tables: this.#tables };
  }

  #compare(
    table: TableShape,
    old: TableShape | undefined,
    now: readonly TableShape[],
    before: ReadonlyMap<string, TableShape>,
  ): void {
    if (table.kind === 'virtual') this.#virtual(table, old, now, before);
    else if (table.kind === 'internal') this.#internal(table, old);
    else if (table.kind === 'table') this.#ordinary(table, old);
  }

  #ordinary(table: TableShape, old: TableShape | undefined): void {
    if (old === undefined) {
      const problem = 'the table exists only in the kept database';
      this.#line({ table: table.name, change: 'create', problem, sql: table.sql });
      this.#rows(table, undefined, 'exists only in the kept database');
      return;
    }
    const difference = old.sql === table.sql ? undefined : describeColumns(table, old);
    if (old.sql === table.sql) this.#rows(table, old);
    else if (difference === undefined) {
      this.#line({ table: table.name, problem: 'its definition differs; its rows are compared', sql: table.sql });
      this.#rows(table, old, 'its definition differs');
    } else {
      const problem = `its definition differs (${difference}): its ${this.#count(table)} row(s), ${this.#count(old)} in the log, are not compared`;
      this.#note(table.name, problem, table.sql);
    }
  }

  /** What a virtual table of a known kind stores is in tables of its own; of others nothing can be known. */
  #virtual(
    { name, sql }: TableShape,
    old: TableShape | undefined,
    now: readonly TableShape[],
    before: ReadonlyMap<string, TableShape>,
  ): void {
    const virtual = now.filter((table) => table.kind === 'virtual' && table.name.length > name.length);
    const isOurs = (shadow: string): boolean =>
      shadow.startsWith(`${name}_`) && !virtual.some((other) => shadow.startsWith(`${other.name}_`));
    const shadows = now.filter((table) => table.kind === 'shadow' && isOurs(table.name));
    const differing = shadows.filter((table) => this.#differs(table, before.get(table.name)));
    if (old === undefined) this.#note(name, 'virtual table that exists only in the kept database', sql);
    else if (old.sql !== sql) this.#note(name, 'virtual table with another definition, its rows are not compared', sql);
    else if (shadows.length === 0) this.#note(name, 'virtual table, its rows are not compared');
    else if (differing.length > 0) {
      const names = differing.map((table) => table.name).join(', ');
      this.#note(name, `virtual table, its rows are not compared; what it stores differs (${names})`);
    }
  }

  #internal(table: TableShape, old: TableShape | undefined): void {
    if (!this.#differs(table, old)) return;
    const what = table.name === 'sqlite_sequence' ? 'counters of AUTOINCREMENT' : "SQLite's own data";
    this.#note(table.name, `${what} differ; they are not listed`);
  }

  #missing(table: TableShape): void {
    if (table.kind === 'shadow' || table.kind === 'internal') return;
    const rows = table.kind === 'virtual' ? '' : ` (${this.#count(table)} row(s) in the log)`;
    this.#note(table.name, `the table is missing in the kept database${rows}`);
  }

  #rows(table: TableShape, old: TableShape | undefined, note?: string): void {
    const { name } = table;
    const counts: Record<ChangeKind, number> = { insert: 0, update: 0, delete: 0 };
    let rows = 0;
    let listed = 0;
    const isListed = (): boolean => rows < this.#limits.rows && this.#bytes < this.#limits.bytes;
    let problem = note;
    const tell = (text: string): void => {
      problem = problem === undefined ? text : `${problem}; ${text}`;
      this.#line({ table: name, problem: text });
    };
    try {
      for (const change of compareRows(this.#connection, this.#encode, table, old).changes(isListed)) {
        if (isListed()) {
          this.#line({ table: name, ...change });
          listed += 1;
        }
        rows += 1;
        counts[change.change] += 1;
      }
    } catch (error) {
      tell(`could not be read to its end: ${messageOf(error)}`);
    }
    if (listed < rows)
      tell(`${rows - listed} more row(s) differ: the list is too long for them, the kept database has them`);
    if (rows === 0 && problem === undefined) return;
    const { insert: inserted, update: updated, delete: deleted } = counts;
    this.#tables.push({ table: name, rows, inserted, updated, deleted, ...(problem === undefined ? {} : { problem }) });
  }

  #differs(table: TableShape, old: TableShape | undefined): boolean {
    if (old === undefined || describeColumns(table, old) !== undefined) return true;
    try {
      return compareRows(this.#connection, this.#encode, table, old).differs();
    } catch {
      // What can't be read can't be called the same.
      return true;
    }
  }

  #count({ schema, name }: TableShape): string {
    try {
      return String(this.#connection.prepare(`SELECT count(*) AS n FROM ${schema}.${quoteName(name)}`).get()?.n);
    } catch {
      return 'unknown number of';
    }
  }

  #note(table: string, problem: string, sql?: string): void {
    this.#tables.push({ table, rows: 0, inserted: 0, updated: 0, deleted: 0, problem });
    this.#line({ table, problem, ...(sql === undefined ? {} : { sql }) });
  }

  #line(line: object): void {
    const text = JSON.stringify(line);
    this.#bytes += Buffer.byteLength(text) + 1;
    this.#write(text);
  }
}
