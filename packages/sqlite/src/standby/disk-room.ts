/** Whether the disk has room for what is about to be written: better asked before than found out in the middle. */
import { statfsSync } from 'node:fs';
import { sqliteErrors } from '../errors.ts';

/** Less than this is not worth the question. */
const SMALL_BYTES = 1024 * 1024;

/** Throws SQLITE_DISK_FULL (fields neededBytes, freeBytes) when the disk under `path` has fewer than `bytes` left for us. */
export function requireRoom(path: string, bytes: number): void {
  if (bytes <= SMALL_BYTES) return;
  const { bavail, bsize } = statfsSync(path);
  if (bavail * bsize >= bytes) return;
  throw sqliteErrors.create('SQLITE_DISK_FULL', { path, neededBytes: bytes, freeBytes: bavail * bsize });
}
