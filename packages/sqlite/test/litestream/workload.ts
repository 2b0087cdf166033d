/** What an application does to its database over time, in steps: small and large commits, growth, updates, shrinking. */
import { DatabaseSync } from 'node:sqlite';

/** The file before anything replicates it: page size, tables, rollback mode. */
export function createDatabase(path: string, pageSize: number): void {
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA page_size = ${pageSize}; CREATE TABLE t (id INTEGER PRIMARY KEY, kind TEXT, body TEXT);
    CREATE INDEX t_kind ON t (kind); INSERT INTO t (kind, body) VALUES ('first', 'row')`);
  db.close();
}

const insert = (rows: number, bytes: number): string =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
   INSERT INTO t (kind, body) SELECT 'k' || (i % 7), hex(randomblob(${bytes} / 2)) FROM n`;

/** Each is one commit. */
export const STEPS: readonly string[] = [
  insert(1, 20),
  insert(3, 900),
  insert(200, 1500),
  "UPDATE t SET body = body || 'x' WHERE id % 3 = 0",
  insert(1, 70_000),
  'DELETE FROM t WHERE id % 4 <> 0',
  'VACUUM',
  insert(2, 100),
  'CREATE TABLE u (id INTEGER PRIMARY KEY, note TEXT UNIQUE)',
  'INSERT INTO u (note) SELECT kind || id FROM t',
  insert(60, 4000),
  'DELETE FROM t',
  insert(5, 300),
  'VACUUM',
  insert(1, 10),
];
