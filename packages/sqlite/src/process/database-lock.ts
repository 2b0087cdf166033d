/**
 * One Canopy process per database: an exclusive SQLite lock on a file of its own, `{db}-canopy/lock`, held for the
 * process's life. The operating system drops it at death, however that comes, so there is no stale lock to clean up. Where
 * nothing else was put into the directory meanwhile it goes with the lock: a database that was refused has no trace beside it.
 */
import { readdirSync, readFileSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Clock, makeDirectory } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { isBusy, wrapFileError } from './system-errors.ts';

/** How often a lock that is held is tried again while waiting. */
const RETRY_MS = 50;
const LOCK = 'lock';
const HOLDER = 'holder.json';
const OURS: readonly string[] = [LOCK, `${LOCK}-journal`, HOLDER];

export interface LockOptions {
  /** The database, for messages. */
  readonly path: string;
  /** Where the lock file lies; made where it is missing. */
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
  readonly #directory: string;

  private constructor(connection: DatabaseSync, directory: string) {
    this.#connection = connection;
    this.#directory = directory;
  }

  static async acquire(options: LockOptions): Promise<DatabaseLock> {
    const deadline = options.clock.monotonic() + options.timeoutMs;
    for (;;) {
      const { connection, inode } = open(options);
      // The one who had it may have taken the file away: what we wait for, or hold, is nobody's lock then.
      const isCurrent = (): boolean => inodeOf(options.directory) === inode;
      try {
        await untilLocked(connection, options, deadline);
        if (isCurrent()) {
          writeFileSync(holderPath(options), `${JSON.stringify({ pid: options.pid, node: options.node })}\n`);
          return new DatabaseLock(connection, options.directory);
        }
      } catch (error) {
        if (isCurrent()) {
          connection.close();
          throw wrapFileError(error, options.path);
        }
      }
      connection.close();
    }
  }

  release(): void {
    removeIfBare(this.#directory);
    this.#connection.close();
  }
}

/** While the lock is held: who waits for it finds that it is another file's by then. */
function removeIfBare(directory: string): void {
  try {
    const names = readdirSync(directory);
    if (!names.every((name) => OURS.includes(name))) return;
    for (const name of names) unlinkSync(join(directory, name));
    rmdirSync(directory);
  } catch {
    // It stays, and harms nobody.
  }
}

function inodeOf(directory: string): number | undefined {
  return statSync(join(directory, LOCK), { throwIfNoEntry: false })?.ino;
}

function open(options: LockOptions): { readonly connection: DatabaseSync; readonly inode: number | undefined } {
  try {
    makeDirectory(options.directory);
    const connection = new DatabaseSync(join(options.directory, LOCK), { timeout: 0 });
    return { connection, inode: inodeOf(options.directory) };
  } catch (error) {
    throw wrapFileError(error, options.path);
  }
}

async function untilLocked(connection: DatabaseSync, options: LockOptions, deadline: number): Promise<void> {
  while (!tryLock(connection)) {
    if (options.clock.monotonic() >= deadline) throw inUse(options);
    await options.clock.sleep(RETRY_MS, { signal: options.signal });
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
  return join(options.directory, HOLDER);
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
