import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { epoch, systemEnv } from '@canopy/core';
import { expect, test } from 'vitest';
import type { LtxPage } from '../../src/ltx/header.ts';
import { MemoryPages } from '../../src/standby/page-changes.ts';
import { ReplicaFile } from '../../src/standby/replica-file.ts';

/** Gives out some of the pages, then fails as a disk would. */
class Breaking extends MemoryPages {
  readonly #after: number;

  constructor(pages: ReadonlyMap<number, Uint8Array>, after: number) {
    super(pages);
    this.#after = after;
  }

  override *pages(): Generator<LtxPage> {
    let given = 0;
    for (const page of super.pages()) {
      if (given++ >= this.#after) throw new Error('broken');
      yield page;
    }
  }
}

test('an apply that breaks off after any page leaves every byte as it was, growing and shrinking', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-replica-'));
  try {
    const source = join(directory, 'source.db');
    const path = join(directory, 'replica.db');
    const db = new DatabaseSync(source);
    db.exec(`PRAGMA page_size=1024; CREATE TABLE t(x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
      INSERT INTO t SELECT hex(randomblob(400)) FROM n`);
    db.close();
    copyFileSync(source, path);
    const old = readFileSync(path);
    const at = { epoch: epoch(1), txid: 5 };
    const options = { path, statePath: join(directory, 'state.json'), boot: 'x', env: systemEnv() };
    const file = new ReplicaFile({ ...options, busyTimeoutMs: 100, lockTimeoutMs: 1000, flush: false }, () => at);
    const size = old.byteLength / 1024;
    for (const commit of [Math.floor(size / 2), size, size + 9])
      for (let after = 0; after < commit; after += 3) {
        const pages = new Map<number, Uint8Array>();
        for (let pgno = 1; pgno <= commit; pgno++) pages.set(pgno, new Uint8Array(1024).fill(pgno));
        const batch = { to: { ...at, txid: 6 }, pageSize: 1024, commit, changes: new Breaking(pages, after) };
        await expect(file.apply(batch)).rejects.toThrow('broken');
        expect(file.position).toEqual(at);
        expect(readFileSync(path).equals(old), `${commit} pages, broken after ${after}`).toBe(true);
      }
    file.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
