import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { epoch } from '@canopy/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MergeInputs } from '../../src/levels/inputs.ts';
import { mergePages } from '../../src/levels/merge-stream.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { decodeLtx } from '../../src/ltx/decoder.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { mergeLtx } from '../../src/ltx/merge.ts';
import { memoryLog } from '../log/logs.ts';
import { header, page } from '../ltx/pages.ts';

const PAGE = 4096;

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'inputs-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'scratch');
}

/** Transactions that each write `count` pages from `first` on, of a database of `commit` pages. */
async function put(log: SegmentLog, txid: number, first: number, count: number, commit: number): Promise<Uint8Array> {
  const pages = Array.from({ length: count }, (_, i) => page(first + i, txid, PAGE));
  const bytes = encodeLtx(header({ minTxid: txid, maxTxid: txid, commit, pageSize: PAGE }), pages);
  await log.append({ txid, epoch: epoch(1), node: 'a', kind: 'commit', bytes });
  return bytes;
}

describe('MergeInputs', () => {
  test('more large objects than may be open at once: the same pages, by way of scratch files', async () => {
    const { log } = await memoryLog();
    const files = [await put(log, 1, 1, 700, 700)];
    // Large ones with small ones between them, shrinking and growing again.
    for (let txid = 2; txid <= 30; txid++) {
      if (txid % 2 === 0) files.push(await put(log, txid, 1 + txid * 3, 600, 700));
      else files.push(await put(log, txid, txid, 3, 700));
    }
    files.push(await put(log, 31, 5, 1, 40), await put(log, 32, 41, 10, 50));
    const directory = scratch();
    const signal = new AbortController().signal;
    const entries = await log.entries();
    expect(entries.filter((entry) => entry.size > 1024 * 1024).length).toBeGreaterThan(12);
    const inputs = new MergeInputs({ log, scratch: directory, signal });
    const { header: merged, streams } = await inputs.load(entries);
    expect(readdirSync(directory).length).toBeGreaterThan(0);
    expect(streams.length).toBeLessThan(14);
    const expected = mergeLtx(files.map((bytes) => decodeLtx(bytes)));
    expect(merged).toEqual(expected.header);
    const all = [...expected.pages];
    let at = 0;
    for await (const batch of mergePages(streams, merged))
      for (const { pgno, data } of batch) {
        expect(pgno).toBe(all[at]?.pgno);
        expect(Buffer.compare(data, all[at]?.data as Uint8Array)).toBe(0);
        at++;
      }
    expect(at).toBe(all.length);
    await inputs.close();
    expect(existsSync(directory)).toBe(false);
  });

  test('an input that lets the database grow without its pages is refused', async () => {
    for (const small of [true, false]) {
      const { log } = await memoryLog();
      await put(log, 1, 1, 10, 10);
      await put(log, 2, 1, small ? 2 : 600, 700);
      const signal = new AbortController().signal;
      await using inputs = new MergeInputs({ log, scratch: scratch(), signal });
      const merge = async (): Promise<void> => {
        const { header: merged, streams } = await inputs.load(await log.entries());
        for await (const _ of mergePages(streams, { ...merged, minTxid: 2 }));
      };
      await expect(merge()).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    }
  });
});
