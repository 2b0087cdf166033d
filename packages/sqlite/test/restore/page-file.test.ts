import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, test } from 'vitest';
import type { LtxPage } from '../../src/ltx/header.ts';
import { PageFile } from '../../src/restore/page-file.ts';
import { header, page } from '../ltx/pages.ts';

const SIZE = 64 * 1024;
const OBJECT = 'an object';

test('what is given later wins, gathered or streamed, over shrinking and growing and more than is held in memory', async () => {
  await using directory = await temporaryDirectory();
  const file = await PageFile.create(join(directory.path, 'a.db'), SIZE);
  const versions: number[] = [];
  const run = (from: number, to: number, version: number): LtxPage[] => {
    const pages: LtxPage[] = [];
    for (let pgno = from; pgno <= to; pgno++) {
      versions[pgno] = version;
      pages.push(page(pgno, version, SIZE));
    }
    return pages;
  };
  const begin = (txid: number, commit: number): void => {
    versions.length = Math.min(versions.length, commit + 1);
    file.begin(header({ pageSize: SIZE, minTxid: txid, maxTxid: txid, commit }), OBJECT);
  };
  begin(1, 200);
  for (const one of run(1, 200, 1)) await file.write(one);
  file.end(OBJECT);
  begin(2, 200);
  await file.gather(run(10, 160, 2));
  file.end(OBJECT);
  begin(3, 120);
  await file.gather(run(50, 60, 3));
  file.end(OBJECT);
  begin(4, 140);
  for (const one of run(55, 57, 4)) await file.write(one);
  for (const one of run(121, 140, 4)) await file.write(one);
  file.end(OBJECT);
  begin(5, 140);
  await file.gather(run(56, 56, 5));
  file.end(OBJECT);
  begin(6, 150);
  await file.gather(run(149, 150, 6));
  expect(() => file.end(OBJECT)).toThrow('has 2 of the 10 new ones');
  begin(5, 140);
  await file.complete();
  await file.close();
  const expected = Buffer.concat(Array.from({ length: 140 }, (_, i) => page(i + 1, versions[i + 1] ?? 0, SIZE).data));
  expect(readFileSync(file.path).equals(expected)).toBe(true);
});
