/**
 * Switching a database file between rollback and WAL mode in place, with SQLite itself. Both switches need every other
 * connection gone for an instant: they are tried again within a bound.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Env } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { type WalCursor, WalReader } from '../wal/reader.ts';
import { isBusy, wrapFileError } from './system-errors.ts';

/** Older versions can lose pages when a checkpoint meets a write. */
const SQLITE_REQUIRED = '3.51.3';

export interface ModeOptions {
  readonly path: string;
  readonly env: Env;
  readonly busyTimeoutMs: number;
  readonly lockTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Throws SQLITE_TOO_OLD. */
export function requireVersion(version: string = process.versions.sqlite as string): void {
  const have = version.split('.').map(Number);
  const need = SQLITE_REQUIRED.split('.').map(Number);
  for (const [i, part] of need.entries()) {
    const mine = have[i] ?? 0;
    if (mine > part) return;
    if (mine < part) throw sqliteErrors.create('SQLITE_TOO_OLD', { version, required: SQLITE_REQUIRED });
  }
}

/** Makes it a WAL-mode database, and a database in the first place where the file is missing or empty. */
export async function switchToWal(options: ModeOptions): Promise<void> {
  const mode = await setMode(options, 'WAL');
  if (mode !== 'wal') throw sqliteErrors.create('SQLITE_WAL_UNAVAILABLE', { path: options.path, mode });
}

/**
 * Copies the WAL into the file and makes it a rollback-mode database. False when the WAL did not end where it was
 * expected to: somebody has written meanwhile.
 */
export async function switchToRollback(options: ModeOptions, expected: WalCursor | undefined): Promise<boolean> {
  // Without a cursor there is no WAL that could have been written to: the file was in rollback mode already.
  const fd = expected === undefined ? undefined : openSync(`${options.path}-wal`, 'r');
  try {
    await setMode(options, 'DELETE');
    return expected === undefined || fd === undefined || endsAt(fd, expected);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Whether no frame that could be a commit lies behind the cursor, in the WAL as it was at its end. */
export function endsAt(fd: number, cursor: WalCursor): boolean {
  const reader = new WalReader(fd);
  let scan = reader.read(cursor);
  if (scan.type === 'restarted' && scan.contiguous) scan = reader.read(scan.next);
  return scan.type === 'batch' && scan.transactions === 0;
}

/**
 * The mode that the connection's file is in afterwards. SQLite writes page 1 for it, and takes that from its cache unless
 * the file's version number has moved; but the commits of one writer in WAL mode all carry the same number. What another
 * connection committed since this one read page 1 would be undone: so the cache is emptied last of all.
 */
export function changeMode(connection: DatabaseSync, mode: 'WAL' | 'DELETE'): string {
  const change = connection.prepare(`PRAGMA journal_mode=${mode}`);
  connection.exec('PRAGMA shrink_memory');
  return String(change.get()?.journal_mode);
}

async function setMode(options: ModeOptions, mode: 'WAL' | 'DELETE'): Promise<string> {
  const { path, env, lockTimeoutMs, signal } = options;
  const deadline = env.clock.monotonic() + lockTimeoutMs;
  for (;;) {
    try {
      const connection = new DatabaseSync(path, { timeout: options.busyTimeoutMs });
      try {
        return changeMode(connection, mode);
      } finally {
        connection.close();
      }
    } catch (error) {
      if (!isBusy(error)) throw wrapFileError(error, path);
      if (env.clock.monotonic() >= deadline)
        throw sqliteErrors.create('SQLITE_DATABASE_BUSY', { path, timeoutMs: lockTimeoutMs });
    }
    await env.clock.sleep(20, { signal });
  }
}
