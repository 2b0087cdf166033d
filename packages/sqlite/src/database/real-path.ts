/**
 * Where a database really is. SQLite names the -wal and -shm of a file behind a symbolic link after the file, and two names
 * of one database must not become two databases: so whatever is kept beside it is named after the file, too.
 */
import { readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { sqliteErrors } from '../errors.ts';

/** As in most systems. */
const HOPS_MAX = 40;

/** The absolute path that the links at `path`, if any, lead to, whether there is a file or not. Throws SQLITE_DESTINATION_INVALID. */
export function realDatabasePath(path: string): string {
  let at = resolve(path);
  for (let hops = 0; hops < HOPS_MAX; hops++) {
    const target = linkAt(at);
    if (target === undefined) return at;
    at = resolve(realDirectory(at), target);
  }
  throw sqliteErrors.create('SQLITE_DESTINATION_INVALID', { path, problem: 'its symbolic links lead in circles' });
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // No link, or nothing that can be looked at: who opens it says why.
    return undefined;
  }
}

/** A link is relative to the directory in which it lies, not to the way there. */
function realDirectory(path: string): string {
  try {
    return dirname(join(realpathSync(dirname(path)), basename(path)));
  } catch {
    return dirname(path);
  }
}
