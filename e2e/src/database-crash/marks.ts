/** What is in a database file, read as any program would. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { MarksByWriter } from './history.ts';

const BUSY_MS = 10_000;

/** Empty where there is no such table yet. */
export function readMarks(path: string): MarksByWriter {
  return reading(path, (connection) => {
    if (connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'mark'").get() === undefined) return new Map();
    const rows = connection.prepare('SELECT writer, count(*) AS count, max(n) AS last FROM mark GROUP BY writer').all();
    return new Map(
      rows.map((row) => [String(row.writer), { count: Number(row.count), last: Number(row.last) }] as const),
    );
  });
}

/** Empty when all is well. */
export function damage(path: string, where: string): readonly string[] {
  const said = reading(path, (connection) =>
    String(Object.values(connection.prepare('PRAGMA integrity_check').get() ?? {})[0]),
  );
  return said === 'ok' ? [] : [`${where}: integrity_check says ${said}`];
}

/** Of every database that was kept aside beside `path`. */
export function keptMarks(path: string): readonly MarksByWriter[] {
  const prefix = `${basename(path)}.divergent-`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(dirname(path), name, 'database.sqlite'))
    .filter((kept) => existsSync(kept))
    .map(readMarks);
}

export function removeFile(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${path}${suffix}`, { force: true });
}

function reading<T>(path: string, read: (connection: DatabaseSync) => T): T {
  const connection = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    return read(connection);
  } finally {
    connection.close();
  }
}
