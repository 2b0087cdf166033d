/** Real databases in WAL mode for the tests: a temporary directory, a writer, and the raw files. */
import { closeSync, copyFileSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export class WalDatabase implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'canopy-wal-'));
  readonly path = join(this.directory, 'test.db');
  readonly walPath = `${this.path}-wal`;
  readonly db: DatabaseSync;
  readonly #fds: number[] = [];

  constructor(pageSize = 4096) {
    this.db = new DatabaseSync(this.path);
    this.db.exec(`PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;`);
  }

  exec(sql: string): void {
    this.db.exec(sql);
  }

  /** A read descriptor on the WAL, closed with the database. */
  openWal(): number {
    const fd = openSync(this.walPath, 'r');
    this.#fds.push(fd);
    return fd;
  }

  walBytes(): Buffer {
    return readFileSync(this.walPath);
  }

  /** The database file as SQLite's own checkpoint of a copy makes it: what every reader of the WAL must arrive at. */
  checkpointed(): Buffer {
    const copy = join(this.directory, 'copy.db');
    copyFileSync(this.path, copy);
    copyFileSync(this.walPath, `${copy}-wal`);
    const db = new DatabaseSync(copy);
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    db.close();
    return readFileSync(copy);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) closeSync(fd);
    if (this.db.isOpen) this.db.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
