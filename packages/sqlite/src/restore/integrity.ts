/** SQLite's own checks on a database file that nobody has open. */
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { messageOf } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';

/** `quick` reads every page but does not compare indexes with their tables; `full` does. */
export type IntegrityMethod = 'none' | 'quick' | 'full';

/**
 * Throws SQLITE_INTEGRITY_FAILED with the first problem. Synchronous, and reads the whole file. The file must not change
 * meanwhile: it is opened as immutable, so that no lock, -wal or -shm appears beside it.
 */
export function checkIntegrity(path: string, method: IntegrityMethod): void {
  if (method === 'none') return;
  const problem = firstProblem(path, method === 'quick' ? 'quick_check' : 'integrity_check');
  if (problem !== undefined) throw sqliteErrors.create('SQLITE_INTEGRITY_FAILED', { path, method, problem });
}

function firstProblem(path: string, pragma: string): string | undefined {
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  try {
    const db = new DatabaseSync(url, { readOnly: true });
    try {
      const row = db.prepare(`PRAGMA ${pragma}(1)`).get() as Record<string, unknown> | undefined;
      const answer = String(Object.values(row ?? {})[0]);
      return answer === 'ok' ? undefined : answer;
    } finally {
      db.close();
    }
  } catch (error) {
    return messageOf(error);
  }
}
