/**
 * The connection to the app's own database in this process, by the SQLite that Node.js has built in: two builds of SQLite in
 * one process would drop each other's locks. Opens a file that is there, never makes one.
 */
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/** How long a single statement outside of `transaction` waits for other writers, blocking this process. */
export const STATEMENT_BUSY_MS = 200;
/** Primary result codes of SQLite: somebody else has the lock. */
const BUSY = [5, 6];

export function openConnection(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.search = 'mode=rw';
  const connection = new DatabaseSync(url, { timeout: STATEMENT_BUSY_MS });
  // Copying the WAL back is the database process's, which has to see every page of it first.
  connection.exec('PRAGMA wal_autocheckpoint = 0');
  return connection;
}

/** True when the write lock is ours now; false when somebody else has it. Doesn't wait. */
export function tryBegin(connection: DatabaseSync): boolean {
  connection.exec('PRAGMA busy_timeout = 0');
  try {
    connection.exec('BEGIN IMMEDIATE');
    return true;
  } catch (error) {
    if (!isBusy(error)) throw error;
    return false;
  } finally {
    connection.exec(`PRAGMA busy_timeout = ${STATEMENT_BUSY_MS}`);
  }
}

/** Whatever is open is undone; SQLite may have done so by itself. */
export function rollBack(connection: DatabaseSync): void {
  try {
    if (connection.isOpen && connection.isTransaction) connection.exec('ROLLBACK');
  } catch {
    // An error here leaves nothing committed either: the connection is closed with its term.
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' && BUSY.includes(code & 0xff);
}
