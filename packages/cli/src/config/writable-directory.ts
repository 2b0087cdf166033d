/** Makes a directory and proves that a file can be written in it, before anything is started that would need it. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '@canopy/core';
import { cliErrors } from '../errors.ts';

/** A node that can't even write this much would fail at its first step. */
const PROBE_BYTES = 256 * 1024;

/** Throws DIRECTORY_UNWRITABLE with the system's reason (permissions, read-only, full, a file in the way). */
export function ensureWritableDirectory(directory: string): void {
  const probe = join(directory, `.canopy-probe-${process.pid}`);
  try {
    makeDirectory(directory);
    writeFileSync(probe, Buffer.alloc(PROBE_BYTES));
  } catch (error) {
    throw cliErrors.create('DIRECTORY_UNWRITABLE', { directory, reason: (error as Error).message }, error);
  } finally {
    removeQuietly(probe);
  }
}

/** What can't be removed was never written: the first error is the one to tell. */
function removeQuietly(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {}
}
