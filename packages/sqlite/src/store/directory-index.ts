/**
 * What a directory store knows of its objects: a small SQLite database in `.canopy-store/index.db`. A name is there when
 * its row is, whole and with its headers; revisions follow the order of commits. Several processes may share it, on a
 * file system whose locks work between them. Persisted format: only add columns.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDirectory } from '@canopy/core';
import type { BlobInfo } from '@canopy/nats';

export const STORE_DIRECTORY = '.canopy-store';
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS store(created_at INTEGER NOT NULL, revision INTEGER NOT NULL, bytes INTEGER NOT NULL, max_bytes INTEGER);
  CREATE TABLE IF NOT EXISTS objects(name TEXT PRIMARY KEY, file TEXT NOT NULL, size INTEGER NOT NULL, digest TEXT,
    revision INTEGER NOT NULL, written_at INTEGER NOT NULL, headers TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS objects_by_revision ON objects(revision);
  CREATE TABLE IF NOT EXISTS gone(revision INTEGER PRIMARY KEY, name TEXT NOT NULL)`;
/** Deletions remembered for watches; one that is further behind lists again. */
const GONE_KEPT = 10_000;
const BUSY_MS = 10_000;

export interface StoredObject {
  readonly info: BlobInfo;
  /** Relative to the store's directory. */
  readonly file: string;
  /** SHA-256 in hex; undefined for files that other programs left. */
  readonly digest: string | undefined;
}

export interface IndexFacts {
  readonly createdAt: number;
  readonly bytes: number;
  readonly maxBytes: number | undefined;
}

export interface Changes {
  /** The revision up to which they reach. */
  readonly revision: number;
  readonly put: readonly BlobInfo[];
  readonly deleted: readonly string[];
  /** Deletions before these were forgotten: what is gone shows only in a listing. */
  readonly isComplete: boolean;
}

export class DirectoryIndex {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #inode: number;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
    this.#inode = statSync(path).ino;
  }

  /** Undefined where there is none and it is not to be made. A new one takes in the LTX files that lie there already. */
  static open(
    directory: string,
    make: { readonly now: number; readonly maxBytes: number | undefined } | undefined,
  ): DirectoryIndex | undefined {
    const path = join(directory, STORE_DIRECTORY, 'index.db');
    if (!existsSync(path)) {
      if (make === undefined) return undefined;
      makeDirectory(join(directory, STORE_DIRECTORY, 'incoming'));
    }
    const database = new DatabaseSync(path, { timeout: BUSY_MS });
    try {
      database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL');
      const index = new DirectoryIndex(path, database);
      if (make !== undefined) index.transact(() => index.#initialise(directory, make));
      return index;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Somebody has removed or replaced the index behind our back. */
  get isGone(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino !== this.#inode;
  }

  facts(): IndexFacts {
    const row = this.#row('SELECT created_at, bytes, max_bytes FROM store');
    const maxBytes = row?.max_bytes === null ? undefined : Number(row?.max_bytes);
    return { createdAt: Number(row?.created_at), bytes: Number(row?.bytes), maxBytes };
  }

  find(name: string): StoredObject | undefined {
    const row = this.#row('SELECT * FROM objects WHERE name = ?', name);
    if (row === undefined) return undefined;
    return { info: infoOf(row), file: String(row.file), digest: row.digest === null ? undefined : String(row.digest) };
  }

  list(prefix: string): BlobInfo[] {
    const rows = this.#database.prepare('SELECT * FROM objects WHERE substr(name, 1, ?) = ? AND name >= ?');
    return rows.all(prefix.length, prefix, prefix).map(infoOf);
  }

  /** Inside a transaction. */
  put(object: { name: string; file: string; size: number; digest: string; at: number; headers: object }): BlobInfo {
    const before = this.find(object.name);
    const revision = this.#nextRevision(object.size - (before?.info.size ?? 0));
    this.#database
      .prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(object.name, object.file, object.size, object.digest, revision, object.at, JSON.stringify(object.headers));
    return (this.find(object.name) as StoredObject).info;
  }

  /** Whether some object's bytes are in this file. */
  names(file: string): boolean {
    return this.#row('SELECT 1 FROM objects WHERE file = ?', file) !== undefined;
  }

  /** Where the object's bytes are now. Not a change of the object. */
  moved(name: string, from: string, to: string): void {
    this.#database.prepare('UPDATE objects SET file = ? WHERE name = ? AND file = ?').run(to, name, from);
  }

  /** Inside a transaction. */
  delete(object: StoredObject): void {
    const revision = this.#nextRevision(-object.info.size);
    this.#database.prepare('DELETE FROM objects WHERE name = ?').run(object.info.name);
    this.#database.prepare('INSERT INTO gone VALUES (?, ?)').run(revision, object.info.name);
    this.#database
      .prepare('DELETE FROM gone WHERE revision <= (SELECT revision FROM gone ORDER BY revision DESC LIMIT 1 OFFSET ?)')
      .run(GONE_KEPT);
  }

  changes(prefix: string, since: number): Changes {
    return this.#read(() => {
      const revision = Number(this.#row('SELECT revision FROM store')?.revision);
      const under = (name: unknown): boolean => String(name).startsWith(prefix);
      const put = this.#database.prepare('SELECT * FROM objects WHERE revision > ? ORDER BY revision').all(since);
      const gone = this.#database.prepare('SELECT * FROM gone WHERE revision > ? ORDER BY revision').all(since);
      const known = this.#row('SELECT count(*) AS n, min(revision) AS first FROM gone');
      return {
        revision,
        put: put.filter((row) => under(row.name)).map(infoOf),
        deleted: gone.map((row) => String(row.name)).filter(under),
        isComplete: Number(known?.n) < GONE_KEPT || Number(known?.first) <= since,
      };
    });
  }

  /** Whether anything may have been written by another process since the last call; cheap. */
  version(): number {
    return Number(this.#row('PRAGMA data_version')?.data_version);
  }

  transact<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // Of some errors, as of a full disk, SQLite has taken everything back already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }

  #read<T>(work: () => T): T {
    this.#database.exec('BEGIN');
    try {
      return work();
    } finally {
      this.#database.exec('COMMIT');
    }
  }

  #initialise(directory: string, make: { readonly now: number; readonly maxBytes: number | undefined }): void {
    this.#database.exec(SCHEMA);
    if (this.#row('SELECT * FROM store') !== undefined) return;
    this.#database.prepare('INSERT INTO store VALUES (?, 0, 0, ?)').run(make.now, make.maxBytes ?? null);
    for (const name of filesBelow(directory, 'ltx')) {
      const { size, mtimeMs } = statSync(join(directory, name));
      this.#database
        .prepare('INSERT INTO objects VALUES (?, ?, ?, NULL, ?, ?, ?)')
        .run(name, name, size, this.#nextRevision(size), Math.floor(mtimeMs), '{}');
    }
  }

  #nextRevision(bytes: number): number {
    const sql = 'UPDATE store SET revision = revision + 1, bytes = bytes + ? RETURNING revision';
    return Number(this.#row(sql, bytes)?.revision);
  }

  #row(sql: string, ...values: (string | number)[]): Record<string, unknown> | undefined {
    return this.#database.prepare(sql).get(...values) as Record<string, unknown> | undefined;
  }
}

function infoOf(row: Record<string, unknown>): BlobInfo {
  return {
    name: String(row.name),
    size: Number(row.size),
    revision: Number(row.revision),
    headers: JSON.parse(String(row.headers)) as Record<string, string>,
    writtenAt: Number(row.written_at),
  };
}

function* filesBelow(directory: string, at: string): Generator<string> {
  if (!existsSync(join(directory, at))) return;
  for (const entry of readdirSync(join(directory, at), { withFileTypes: true })) {
    const name = `${at}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(directory, name);
    else if (entry.isFile() && name.endsWith('.ltx')) yield name;
  }
}
