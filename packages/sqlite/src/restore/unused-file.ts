/**
 * Whether a file may be replaced: a program that has it open would go on with the old one, and what it commits there would
 * be lost with it. Programs in WAL mode keep a lock for as long as they have the file open, ours a lock of their own; one
 * in rollback mode that is idle can't be seen.
 */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { type Env, systemEnv } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { DatabaseLock } from '../process/database-lock.ts';
import { isBusy, wrapFileError } from '../process/system-errors.ts';

const WAIT_MS = 200;

/** Throws SQLITE_IN_USE, SQLITE_DATABASE_BUSY. A file that is not there, or that SQLite can't read, is nobody's. */
export async function requireUnused(path: string, { clock }: Env = systemEnv()): Promise<void> {
  if (!existsSync(path)) return;
  const directory = `${path}-canopy`;
  if (existsSync(directory)) {
    const holder = { path, directory, node: 'restore', pid: process.pid, clock, timeoutMs: WAIT_MS };
    (await DatabaseLock.acquire(holder)).release();
  }
  const connection = openFile(path);
  try {
    connection.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK');
  } catch (error) {
    if (isBusy(error)) throw sqliteErrors.create('SQLITE_DATABASE_BUSY', { path, timeoutMs: WAIT_MS }, error);
  } finally {
    connection.close();
  }
}

function openFile(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: WAIT_MS });
  } catch (error) {
    throw wrapFileError(error, path);
  }
}
