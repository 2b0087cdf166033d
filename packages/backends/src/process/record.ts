/**
 * The note a backend leaves on disk while it runs, so that the next life of this node can end what an earlier one could
 * not. Written before the program runs. Form: `{pid, startTicks, mark, boot, command}` as JSON, replaced as a whole.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, type ProcessId } from '@canopy/core';
import { backendErrors } from '../errors.ts';

export interface ProcessRecord extends ProcessId {
  readonly mark: string;
  /** Of the machine's boot: pids and start times mean nothing in another. */
  readonly boot: string;
  readonly command: string;
}

export class RecordFile {
  readonly #app: string;
  readonly #file: string;

  constructor(app: string, stateDir: string) {
    this.#app = app;
    this.#file = join(stateDir, 'backend.json');
  }

  /** Throws BACKEND_RECORD_FAILED. */
  async write(record: ProcessRecord): Promise<void> {
    const { pid, startTicks, mark, boot, command } = record;
    try {
      await writeFile(`${this.#file}.new`, `${JSON.stringify({ pid, startTicks, mark, boot, command })}\n`);
      await rename(`${this.#file}.new`, this.#file);
    } catch (error) {
      const fields = { app: this.#app, file: this.#file, reason: messageOf(error) };
      throw backendErrors.create('BACKEND_RECORD_FAILED', fields, error);
    }
  }

  /** Undefined when there is none, or none that can be read: then nothing can be told from it. */
  async read(): Promise<ProcessRecord | undefined> {
    try {
      const value = JSON.parse(await readFile(this.#file, 'utf8')) as Partial<ProcessRecord>;
      const { pid, startTicks, mark, boot, command } = value;
      if (typeof pid !== 'number' || pid < 2 || typeof startTicks !== 'number' || typeof mark !== 'string')
        return undefined;
      return { pid, startTicks, mark, boot: String(boot), command: String(command) };
    } catch {
      return undefined;
    }
  }

  async remove(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}
