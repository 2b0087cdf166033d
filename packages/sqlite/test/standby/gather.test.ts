import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import type { LtxPage } from '../../src/ltx/header.ts';
import { type GatherDeps, gather, SPOOL_BYTES } from '../../src/standby/gather.ts';
import type { PageChanges } from '../../src/standby/page-changes.ts';
import { Spool } from '../../src/standby/spool.ts';
import { fill, type MemoryLog, memoryLog, segment } from '../log/logs.ts';
import { header, page } from '../ltx/pages.ts';

let directory: string;
let memory: MemoryLog;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-gather-'));
  memory = await memoryLog();
});
afterEach(() => rmSync(directory, { recursive: true }));

const deps = (fields: Partial<GatherDeps> = {}): GatherDeps => ({
  log: memory.log,
  directory,
  pageSize: 512,
  commit: 3,
  signal: new AbortController().signal,
  ...fields,
});

const shown = (changes: PageChanges): [number, number][] =>
  Array.from(changes.pages(), ({ pgno, data }) => [pgno, Buffer.from(data).readUInt32LE(0)]);

const word = ({ data }: LtxPage): number => Buffer.from(data).readUInt32LE(0);

test('of several entries the newest image of each page, in order', async () => {
  await fill(memory.log, 1, 7);
  const entries = (await memory.log.entries(2)).slice(0, 5);
  const { batch, taken } = await gather(deps(), entries);
  expect(taken).toBe(5);
  expect(batch).toMatchObject({ to: { epoch: 1, txid: 6 }, commit: 3, pageSize: 512 });
  expect(shown(batch.changes)).toEqual([
    [1, word(page(1, 6))],
    [2, word(page(2, 4))],
    [3, word(page(3, 5))],
  ]);
});

/** Far more pages than a batch holds in memory: `version` 0 compresses well, others don't. */
async function large(version: number): Promise<LtxPage[]> {
  const pageSize = 65_536;
  const count = 600;
  const pages: LtxPage[] = [];
  for (let pgno = 1; pgno <= count; pgno++)
    pages.push(version === 0 ? { pgno, data: new Uint8Array(pageSize).fill(pgno) } : page(pgno, version, pageSize));
  await memory.log.append(
    segment(1, { bytes: encodeLtx(header({ minTxid: 1, maxTxid: 1, commit: count, pageSize }), pages) }),
  );
  return pages;
}

for (const [what, version, fits] of [
  ['large', 3, false],
  ['that compresses to little', 0, true],
] as const)
  test(`an entry ${what} goes through a file, which leaves nothing behind`, async () => {
    const pages = await large(version);
    const entries = await memory.log.entries(1);
    expect((entries[0]?.size as number) < SPOOL_BYTES).toBe(fits);
    const { batch, taken, close } = await gather(deps({ pageSize: 65_536, commit: 600 }), entries);
    expect([taken, batch.commit]).toEqual([1, 600]);
    expect(batch.changes).toBeInstanceOf(Spool);
    expect(Array.from(batch.changes.numbers())).toEqual(pages.map(({ pgno }) => pgno));
    expect(shown(batch.changes)).toEqual(pages.map((one) => [one.pgno, word(one)]));
    // As often as one likes.
    expect(shown(batch.changes)).toHaveLength(pages.length);
    expect(batch.changes.first()).toEqual(pages[0]?.data);
    close();
    expect(readdirSync(directory)).toEqual([]);
  }, 30_000);

test('an entry that lets the file grow without bringing its pages is damaged', async () => {
  await fill(memory.log, 1, 1);
  await memory.log.append(
    segment(2, { bytes: encodeLtx(header({ minTxid: 2, maxTxid: 2, commit: 6 }), [page(4), page(6)]) }),
  );
  await expect(gather(deps(), await memory.log.entries(2))).rejects.toMatchObject({
    code: 'SQLITE_LOG_DAMAGED',
    fields: { txid: 2 },
  });
});

test('an entry that was trimmed since it was seen is a gap', async () => {
  await fill(memory.log, 1, 3);
  const entries = await memory.log.entries(2);
  await memory.blobs.delete(entries[0]?.name as string);
  await expect(gather(deps(), entries)).rejects.toMatchObject({ code: 'SQLITE_LOG_GAP', fields: { from: 2, to: 2 } });
});
