/**
 * Whether a database file can be made at a path, found out before anything is fetched for it: a mistake in a path is told as
 * one, with what to do about it. Who wins a race against this check is told by the same codes, when the file is opened.
 */
import type { Stats } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sqliteErrors } from '../errors.ts';
import { wrapFileError } from '../process/system-errors.ts';

const SIDE_FILE = /^(.+)-(?:wal|shm|journal)$/s;

/** Names that SQLite takes for parts of a database. */
export function sidecars(path: string): string[] {
  return [`${path}-wal`, `${path}-shm`, `${path}-journal`];
}

/**
 * Old side files beside a new database would be taken for its own: without `overwrite` none may be there. Throws
 * SQLITE_DESTINATION_INVALID, SQLITE_DESTINATION_EXISTS, SQLITE_UNWRITABLE.
 */
export async function requireDestination(path: string, overwrite: boolean): Promise<void> {
  await requirePlace(path);
  if (overwrite) return;
  for (const taken of [path, ...sidecars(path)])
    if (await isThere(taken)) throw sqliteErrors.create('SQLITE_DESTINATION_EXISTS', { path: taken });
}

/** A file may be at `path`, or be made there. Throws SQLITE_DESTINATION_INVALID, SQLITE_UNWRITABLE. */
export async function requirePlace(path: string): Promise<void> {
  const parent = dirname(path);
  const invalid = (problem: string): Error => sqliteErrors.create('SQLITE_DESTINATION_INVALID', { path, problem });
  const there = await look(path);
  if (there?.isDirectory()) throw invalid('it is a directory');
  // A device or a pipe would be replaced by a file.
  if (there?.isFile() === false) throw invalid('it is no regular file');
  const base = SIDE_FILE.exec(path)?.[1];
  if (base !== undefined && (await look(base)) !== undefined)
    throw invalid(`SQLite keeps a part of the database ${base} there`);
  const found = await look(parent);
  if (found === undefined) throw invalid(`there is no directory ${parent}`);
  if (!found.isDirectory()) throw invalid(`${parent} is no directory`);
  try {
    await access(parent, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw wrapFileError(error, path);
  }
}

/** Undefined where nothing is. What can't be looked at for another reason is told by the code of that. */
async function look(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw wrapFileError(error, path);
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
