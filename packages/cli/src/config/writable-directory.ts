/** Makes a directory and proves that a file can be written in it, before anything is started that would need it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cliErrors } from '../errors.ts';

/** Throws DIRECTORY_UNWRITABLE with the system's reason (permissions, read-only, full, a file in the way). */
export function ensureWritableDirectory(directory: string): void {
  const probe = join(directory, `.canopy-probe-${process.pid}`);
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(probe, 'x'.repeat(4096));
  } catch (error) {
    throw cliErrors.create('DIRECTORY_UNWRITABLE', { directory, reason: (error as Error).message }, error);
  } finally {
    rmSync(probe, { force: true });
  }
}
