/**
 * One `canopy up` per directory. The lock is an exclusive transaction on a small SQLite file, so the operating system lets
 * go of it at any death; a file beside it says who holds it, for the message.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '@canopy/core';
import { cliErrors } from '../errors.ts';

/** SQLite's own number for "somebody else has it". */
const SQLITE_BUSY = 5;
/** Who only looks whether it is locked holds it shared for a moment. */
const LOOKER_MS = 250;

/** Throws DIRECTORY_IN_USE when somebody holds it, DIRECTORY_UNWRITABLE when the file system refuses. */
export function lockDirectory(directory: string): Disposable {
  const holderFile = join(directory, 'up.pid');
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(lockFile(directory), { timeout: LOOKER_MS });
    const held = database;
    held.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
    writeFileSync(holderFile, String(process.pid));
    return { [Symbol.dispose]: () => held.close() };
  } catch (error) {
    database?.close();
    if (isBusy(error)) {
      throw cliErrors.create('DIRECTORY_IN_USE', { directory, pid: readHolder(holderFile) }, error);
    }
    throw cliErrors.create('DIRECTORY_UNWRITABLE', { directory, reason: messageOf(error) }, error);
  }
}

/** Whether a `canopy up` runs there. Changes nothing; what can't be read is taken for held. */
export function isDirectoryLocked(directory: string): boolean {
  if (!existsSync(lockFile(directory))) return false;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(lockFile(directory), { readOnly: true, timeout: 0 });
    database.exec('SELECT count(*) FROM sqlite_master');
    return false;
  } catch {
    return true;
  } finally {
    database?.close();
  }
}

function lockFile(directory: string): string {
  return join(directory, 'up.lock');
}

function isBusy(error: unknown): boolean {
  return ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY;
}

function readHolder(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
