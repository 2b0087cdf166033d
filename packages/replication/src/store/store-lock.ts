/**
 * One replica per file: an exclusive lock on `{file}-lock`, held for the life of the store. The operating system drops it when
 * the process dies, however that comes, so there is nothing stale to clean up.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { replicationErrors } from '../errors.ts';
import { isBusy } from './sqlite-failure.ts';

export class StoreLock {
  readonly #connection: DatabaseSync;

  /** Waits up to `timeoutMs`, blocking, for a holder that is just ending; then throws STATE_STORE_IN_USE. */
  constructor(path: string, timeoutMs: number) {
    this.#connection = new DatabaseSync(`${path}-lock`, { timeout: timeoutMs });
    try {
      this.#connection.exec('BEGIN EXCLUSIVE');
      // Who holds it is for messages only.
      writeFileSync(holderPath(path), `${process.pid}\n`, { mode: 0o600 });
    } catch (error) {
      this.#connection.close();
      if (isBusy(error))
        throw replicationErrors.create('STATE_STORE_IN_USE', { store: path, pid: holder(path) }, error);
      throw error;
    }
  }

  release(): void {
    this.#connection.close();
  }
}

function holderPath(path: string): string {
  return `${path}-lock.pid`;
}

function holder(path: string): number | 'unknown' {
  try {
    return Number(readFileSync(holderPath(path), 'utf8')) || 'unknown';
  } catch {
    return 'unknown';
  }
}
