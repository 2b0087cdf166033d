/**
 * Buckets as Litestream itself wrote them (test/litestream/record-fixtures.ts made them), one of each page encoding: every
 * object decodes, and each restore has the hash of Litestream's own.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '@canopy/testkit';
import { describe, expect, test } from 'vitest';
import { entryOf } from '../../src/log/names.ts';
import { decodeLtx, decodeLtxStream } from '../../src/ltx/decoder.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { HEADER_SIZE, type LtxPage, PAGE_FLAG_SIZE } from '../../src/ltx/header.ts';
import { mergeLtx } from '../../src/ltx/merge.ts';
import { restore } from '../../src/restore/restore.ts';
import { type MemoryLog, memoryLog } from '../log/logs.ts';
import { inChunks } from './pages.ts';

interface Recorded {
  readonly litestream: string;
  readonly pages: 'frame' | 'block';
  readonly pageSize: number;
  readonly end: number;
  readonly objects: readonly StoredObject[];
  readonly restores: readonly { readonly txid: number; readonly sha256: string }[];
}

interface StoredObject {
  readonly name: string;
  readonly size: number;
  readonly revision: number;
  readonly writtenAt: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly sha256: string;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const listed = (pages: Iterable<LtxPage>): [number, string][] =>
  [...pages].map(({ pgno, data }) => [pgno, Buffer.from(data).toString('hex')]);

describe.each(['v0.5.15', 'v0.5.18'])('what Litestream %s wrote', (version) => {
  const directory = fileURLToPath(new URL(`../fixtures/litestream-${version}`, import.meta.url));
  const bucket = JSON.parse(readFileSync(join(directory, 'bucket.json'), 'utf8')) as Recorded;
  const bytesOf = ({ name }: StoredObject): Uint8Array => new Uint8Array(readFileSync(join(directory, name)));

  /** The bucket as it was, or without some of its objects. */
  async function asStored(keep: (object: StoredObject) => boolean = () => true): Promise<MemoryLog> {
    const log = await memoryLog();
    for (const object of [...bucket.objects].sort((a, b) => a.revision - b.revision))
      if (keep(object)) await log.blobs.put(object.name, bytesOf(object), { headers: object.headers });
    return log;
  }

  test('is all there: levels 0, 1, 2 and snapshots, in its page encoding', () => {
    expect(new Set(bucket.objects.map(({ name }) => name.slice(0, 5)))).toEqual(
      new Set(['ltx/0', 'ltx/1', 'ltx/2', 'ltx/9']),
    );
    for (const object of bucket.objects) {
      const bytes = bytesOf(object);
      expect(sha256(bytes)).toBe(object.sha256);
      const flags = new DataView(bytes.buffer).getUint16(HEADER_SIZE + 4);
      expect(flags).toBe(bucket.pages === 'block' ? PAGE_FLAG_SIZE : 0);
    }
  });

  test('decodes, whole and as a stream, and says what its name and headers say', async () => {
    for (const object of bucket.objects) {
      const bytes = bytesOf(object);
      const decoded = decodeLtx(bytes, object.name);
      const entry = entryOf(object);
      expect(entry).toMatchObject({ epoch: 0, node: undefined, timestamp: decoded.header.timestamp });
      expect([decoded.header.minTxid, decoded.header.maxTxid]).toEqual([entry?.minTxid, entry?.maxTxid]);
      expect(decoded.header.pageSize).toBe(bucket.pageSize);
      const stream = await decodeLtxStream(inChunks(bytes, 61));
      const pages: [number, string][] = [];
      for await (const batch of stream.batches()) pages.push(...listed(batch));
      expect(pages).toEqual(listed(decoded.pages()));
      for (const encoding of ['block', 'frame'] as const) {
        const again = decodeLtx(encodeLtx(decoded.header, decoded.pages(), encoding));
        expect(again.header).toEqual(decoded.header);
        expect(listed(again.pages())).toEqual(pages);
      }
    }
  });

  test('its compaction and ours have the same pages', () => {
    const level0 = (from: number, to: number) =>
      bucket.objects
        .filter(({ name }) => name.startsWith('ltx/0/'))
        .map((object) => decodeLtx(bytesOf(object)))
        .filter(({ header }) => header.minTxid >= from && header.maxTxid <= to)
        .sort((a, b) => a.header.minTxid - b.header.minTxid);
    for (const object of bucket.objects.filter(({ name }) => !name.startsWith('ltx/0/'))) {
      const theirs = decodeLtx(bytesOf(object));
      const ours = mergeLtx(level0(theirs.header.minTxid, theirs.header.maxTxid));
      expect(ours.header).toMatchObject({ commit: theirs.header.commit, maxTxid: theirs.header.maxTxid });
      expect(listed(ours.pages)).toEqual(listed(theirs.pages()));
    }
  });

  test('restores to the bytes of its own restore, at every transaction and at the end', async () => {
    await using place = await temporaryDirectory('fixtures');
    const { log } = await asStored();
    const dest = join(place.path, 'restored.db');
    const read = async (options: { txid: number } | undefined, from = log): Promise<string> => {
      await restore({ log: from, dest, target: options, overwrite: true, check: 'full' });
      return sha256(readFileSync(dest));
    };
    expect(bucket.restores).toHaveLength(bucket.end);
    for (const { txid, sha256: expected } of bucket.restores)
      expect({ txid, sha256: await read({ txid }) }).toEqual({ txid, sha256: expected });
    const last = bucket.restores.at(-1)?.sha256;
    expect(await read(undefined)).toBe(last);
    for (const gone of ['ltx/9/', 'ltx/2/', 'ltx/1/']) {
      const without = await asStored(({ name }) => !name.startsWith(gone));
      expect({ gone, sha256: await read(undefined, without.log) }).toEqual({ gone, sha256: last });
    }
  });
});
