/**
 * One `canopy up` per directory. The lock is an exclusive transaction on a small SQLite file, so the operating system lets
 * go of it at any death; the file's content says who holds it, for the message.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { cliErrors } from '../errors.ts';

export function lockDirectory(directory: string): Disposable {
  const holderFile = join(directory, 'up.pid');
  const database = new DatabaseSync(join(directory, 'up.lock'), { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw cliErrors.create('DIRECTORY_IN_USE', { directory, pid: readHolder(holderFile) }, error);
  }
  writeFileSync(holderFile, String(process.pid));
  return { [Symbol.dispose]: () => database.close() };
}

function readHolder(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
