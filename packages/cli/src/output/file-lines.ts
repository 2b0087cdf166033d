/** A result as a file of lines: complete under its name, or not there; one that is to be replaced stays as it was until then. */
import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { cliErrors } from '../errors.ts';

/** Characters that are written at a time. */
const PIECE_LENGTH = 64 * 1024;

/** Throws FILE_EXISTS without `overwrite`, FILE_UNWRITABLE; and what `lines` throws. */
export async function writeLines(
  file: string,
  overwrite: boolean,
  lines: AsyncIterable<{ readonly line: string }>,
): Promise<void> {
  const found = onDisk(file, () => statSync(file, { throwIfNoEntry: false }));
  if (found?.isDirectory()) throw cliErrors.create('FILE_UNWRITABLE', { file, reason: 'it is a directory' });
  if (found?.isFile() && !overwrite) throw cliErrors.create('FILE_EXISTS', { file });
  // A pipe or a device is written to as it is.
  const target = found === undefined || found.isFile() ? `${file}.part` : file;
  const fd = onDisk(file, () => openSync(target, 'w', 0o600));
  try {
    let piece = '';
    for await (const { line } of lines) {
      piece += `${line}\n`;
      if (piece.length < PIECE_LENGTH) continue;
      onDisk(file, () => writeAll(fd, piece));
      piece = '';
    }
    onDisk(file, () => writeAll(fd, piece));
    closeSync(fd);
    if (target !== file) onDisk(file, () => renameSync(target, file));
  } catch (error) {
    try {
      closeSync(fd);
    } catch {}
    if (target !== file) rmSync(target, { force: true });
    throw error;
  }
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function onDisk<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw cliErrors.create('FILE_UNWRITABLE', { file, reason: (error as Error).message }, error);
  }
}
