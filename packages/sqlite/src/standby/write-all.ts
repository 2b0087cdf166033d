/** A write that is complete or throws: the system may take less than it was given, on a disk that is filling up above all. */
import { writeSync } from 'node:fs';

/** At `position`, or where the descriptor stands. */
export function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  let done = 0;
  while (done < bytes.byteLength)
    done += writeSync(fd, bytes, done, bytes.byteLength - done, position === undefined ? null : position + done);
}
