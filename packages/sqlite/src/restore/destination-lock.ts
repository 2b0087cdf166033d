/**
 * One restore at a time to one destination, of this process or another: two would write into one temporary file, and what
 * appeared in the end could be a mixture. The operating system drops the lock when its holder dies.
 */
import { rmSync } from 'node:fs';
import { CanopyError, type Clock, hasCode, messageOf } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { DatabaseLock } from '../process/database-lock.ts';

/** Until disposed of. Throws SQLITE_DESTINATION_BUSY at once, SQLITE_UNWRITABLE, SQLITE_DISK_FULL. */
export async function lockDestination(path: string, clock: Clock): Promise<Disposable> {
  const directory = `${path}.restoring-lock`;
  try {
    const lock = await DatabaseLock.acquire({
      path,
      directory,
      node: 'restore',
      pid: process.pid,
      clock,
      timeoutMs: 0,
    });
    return { [Symbol.dispose]: () => lock.release() };
  } catch (error) {
    if (hasCode(error, 'SQLITE_IN_USE'))
      throw sqliteErrors.create('SQLITE_DESTINATION_BUSY', { path, pid: error.fields.pid }, error);
    rmSync(directory, { recursive: true, force: true });
    if (CanopyError.is(error)) throw error;
    throw sqliteErrors.create('SQLITE_UNWRITABLE', { path, reason: messageOf(error) }, error);
  }
}
