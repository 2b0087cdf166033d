/** A file system that a test may fill: a small tmpfs, or the test is skipped with the reason. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TinyFilesystem, tinyFilesystem } from '@canopy/testkit';

export async function smallDisk(sizeBytes: number, skip: (reason: string) => void): Promise<TinyFilesystem> {
  const made = await tinyFilesystem(sizeBytes);
  if (made.path === undefined) skip(made.reason);
  return made as TinyFilesystem;
}

/** Takes all space that is left with empty lines at the end of a file; returns that file. */
export function fill(directory: string, name = 'filler'): string {
  const file = join(directory, name);
  const fd = openSync(file, 'a');
  try {
    for (const size of [64 * 1024, 512, 1]) fillWith(fd, Buffer.alloc(size, '\n'));
  } finally {
    closeSync(fd);
  }
  return file;
}

function fillWith(fd: number, bytes: Buffer): void {
  try {
    while (writeSync(fd, bytes) > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}
