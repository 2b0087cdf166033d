/**
 * One Canopy process per database: an exclusive SQLite lock on a file of its own, `{db}-canopy/lock`, held for the
 * process's life. The operating system drops it at death, however that comes, so there is no stale lock to clean up.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { isBusy, wrapFileError } from './system-errors.ts';

/** How often a lock that is held is tried again while waiting. */
const RETRY_MS = 50;

export interface LockOptions {
  /** The database, for messages. */
  readonly path: string;
  /** Where the lock file lies; must exist. */
  readonly directory: string;
  readonly node: string;
  readonly pid: number;
  readonly clock: Clock;
  /** How long to wait for a predecessor that is just ending. SQLITE_IN_USE past it. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export class DatabaseLock {
  readonly #connection: DatabaseSync;

  private constructor(connection: DatabaseSync) {
    this.#connection = connection;
  }

  static async acquire(options: LockOptions): Promise<DatabaseLock> {
    const deadline = options.clock.monotonic() + options.timeoutMs;
    const connection = open(options);
    try {
      while (!tryLock(connection)) {
        if (options.clock.monotonic() >= deadline) throw inUse(options);
        await options.clock.sleep(RETRY_MS, { signal: options.signal });
      }
      writeFileSync(holderPath(options), `${JSON.stringify({ pid: options.pid, node: options.node })}\n`);
      return new DatabaseLock(connection);
    } catch (error) {
      connection.close();
      throw wrapFileError(error, options.path);
    }
  }

  release(): void {
    this.#connection.close();
  }
}

function open(options: LockOptions): DatabaseSync {
  try {
    return new DatabaseSync(join(options.directory, 'lock'), { timeout: 0 });
  } catch (error) {
    throw wrapFileError(error, options.path);
  }
}

function tryLock(connection: DatabaseSync): boolean {
  try {
    connection.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  }
}

function holderPath(options: LockOptions): string {
  return join(options.directory, 'holder.json');
}

function inUse(options: LockOptions): Error {
  let holder: { pid?: unknown; node?: unknown } = {};
  try {
    holder = JSON.parse(readFileSync(holderPath(options), 'utf8')) as typeof holder;
  } catch {
    // Held, but by whom was not written yet.
  }
  return sqliteErrors.create('SQLITE_IN_USE', {
    path: options.path,
    pid: holder.pid ?? 'unknown',
    node: holder.node ?? 'unknown',
  });
}
