/** The end of a log file, as text; bounded, and empty when there is no file. */
import { type FileHandle, open } from 'node:fs/promises';

const TAIL_BYTES = 16 * 1024;

export async function logTail(file: string, lines = 40): Promise<string> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, 'r');
    const { size } = await handle.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  } finally {
    await handle?.close();
  }
}
