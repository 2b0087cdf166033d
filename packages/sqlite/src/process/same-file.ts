/**
 * One process, one inode. POSIX drops all of a process's locks on a file when it closes any descriptor of it, and SQLite
 * shares locks and WAL index among the connections of a process by inode. So a process that serves several databases must
 * never open one file twice. The same path is refused by the database's lock; this is about other names of the file (a
 * link, hard or symbolic) and about files that were replaced while they were open, which stay open.
 */
import { statSync } from 'node:fs';
import { sqliteErrors } from '../errors.ts';
import { isAbandoned } from '../primary/live-database.ts';

/** Throws SQLITE_IN_USE. Judged at the moment of the call: `others` may have made their files anew since they were opened. */
export function requireAlone(path: string, others: Iterable<string>, holder: { pid: number; node: string }): void {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return;
  const isOurs = (other: string): boolean => {
    const theirs = statSync(other, { throwIfNoEntry: false });
    return theirs !== undefined && theirs.ino === file.ino && theirs.dev === file.dev;
  };
  if (isAbandoned(file) || [...others].some((other) => other !== path && isOurs(other)))
    throw sqliteErrors.create('SQLITE_IN_USE', { path, ...holder });
}
