/**
 * Where log lines go: a file, or a descriptor such as stderr, written at once, since the last ones matter most after a
 * crash. Invariant: write() never throws and keeps nothing back. A line that can't be written (a full disk, a reader that
 * went away) is dropped and counted; the first line that can be again is preceded by one that tells how many are missing.
 */
import { openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '@canopy/core';
import { cliErrors } from '../errors.ts';

export interface LogDestinationOptions {
  /** A path to append to, or an open descriptor. */
  readonly to: string | number;
  /** The line, without its end, that tells about lost ones. */
  readonly renderLoss: (lost: number, reason: string) => string;
  /** Called for each lost line. */
  readonly onLost?: (() => void) | undefined;
}

export class LogDestination {
  readonly #fd: number;
  readonly #options: LogDestinationOptions;
  #lost = 0;
  #reason = '';
  /** A line was cut off by an error: the next one must not continue it. */
  #torn = false;

  /** Throws DIRECTORY_UNWRITABLE when the file can't be opened. */
  constructor(options: LogDestinationOptions) {
    this.#options = options;
    this.#fd = typeof options.to === 'number' ? options.to : openForAppend(options.to);
  }

  /** `line` with its end. */
  write(line: string): void {
    if (!this.#tellLoss() || !this.#tryWrite(line)) {
      this.#lost += 1;
      this.#options.onLost?.();
    }
  }

  /** True when nothing is missing, or it has been told. */
  #tellLoss(): boolean {
    if (this.#lost === 0) return true;
    if (!this.#tryWrite(`${this.#options.renderLoss(this.#lost, this.#reason)}\n`)) return false;
    this.#lost = 0;
    return true;
  }

  #tryWrite(line: string): boolean {
    const bytes = Buffer.from(this.#torn ? `\n${line}` : line);
    let written = 0;
    try {
      // A write to a disk that is nearly full may be short; the next one then says why.
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written);
      this.#torn = false;
      return true;
    } catch (error) {
      this.#reason = (error as Error).message;
      if (written > 0) this.#torn = true;
      return false;
    }
  }
}

function openForAppend(file: string): number {
  const directory = dirname(file);
  try {
    makeDirectory(directory);
    return openSync(file, 'a', 0o600);
  } catch (error) {
    throw cliErrors.create('DIRECTORY_UNWRITABLE', { directory, reason: (error as Error).message }, error);
  }
}
