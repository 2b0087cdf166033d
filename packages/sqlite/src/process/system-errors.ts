/**
 * What the operating system and SQLite report, in this package's codes. The only place that looks at errno and at
 * SQLite's result codes.
 */
import { CanopyError } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';

const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;
const UNWRITABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR']);

/** SQLite's primary result code, or undefined when this is not an error of SQLite. */
function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | undefined)?.errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}

/** Somebody else holds a lock on the database at the moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/** There is no room for what was to be written. */
export function isDiskFull(error: unknown): boolean {
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  return errno === 'ENOSPC' || errno === 'EDQUOT' || resultCode(error) === SQLITE_FULL;
}

/** The error as one of ours where the operator can do something about it; otherwise the error itself. */
export function wrapFileError(error: unknown, path: string): Error {
  if (CanopyError.is(error)) return error;
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  const code = resultCode(error);
  if (isDiskFull(error)) return sqliteErrors.create('SQLITE_DISK_FULL', { path }, error);
  const refused = errno !== undefined && UNWRITABLE.has(errno);
  if (refused || code === SQLITE_READONLY || code === SQLITE_CANTOPEN)
    return sqliteErrors.create('SQLITE_UNWRITABLE', { path, reason: (error as Error).message }, error);
  if (errno === 'EISDIR') return sqliteErrors.create('SQLITE_NOT_A_DATABASE', { path }, error);
  if (code === SQLITE_NOTADB) return sqliteErrors.create('SQLITE_NOT_A_DATABASE', { path }, error);
  if (code === SQLITE_CORRUPT)
    return sqliteErrors.create('SQLITE_CORRUPT', { path, problem: (error as Error).message }, error);
  if (isBusy(error)) return sqliteErrors.create('SQLITE_DATABASE_BUSY', { path, timeoutMs: 0 }, error);
  return error as Error;
}
