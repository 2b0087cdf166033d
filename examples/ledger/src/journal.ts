/**
 * One line per committed transfer for whoever watches from outside: which process committed what, and when, on the
 * clock that all processes of a machine share. A line is a single appending write, so writers never mix their lines.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

export interface JournalLine {
  readonly id: string;
  /** CLOCK_MONOTONIC in milliseconds, read right after the commit. */
  readonly at: number;
  readonly pid: number;
}

export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  /** To be called right after the commit, before anybody hears of it. */
  committed(id: string): void {
    const at = Number(process.hrtime.bigint()) / 1e6;
    const line: JournalLine = { id, at, pid: process.pid };
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
