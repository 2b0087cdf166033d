import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DecodedLtx, decodeLtx, decodeLtxStream } from '../../src/ltx/decoder.ts';
import { encodeLtx, encodeLtxSnapshot } from '../../src/ltx/encoder.ts';
import { type LtxHeader, type LtxPage, lockPage, type PageEncoding } from '../../src/ltx/header.ts';
import { mergeLtx } from '../../src/ltx/merge.ts';
import { collect, header, inChunks, page } from './pages.ts';

const listed = (pages: Iterable<LtxPage>): [number, string][] =>
  [...pages].map(({ pgno, data }) => [pgno, Buffer.from(data).toString('base64')]);

async function streamed(bytes: Uint8Array, chunk: number): Promise<{ header: LtxHeader; pages: [number, string][] }> {
  const stream = await decodeLtxStream(inChunks(bytes, chunk));
  const pages: [number, string][] = [];
  for await (const batch of stream.batches()) pages.push(...listed(batch));
  return { header: stream.header, pages };
}

const pageSets = fc
  .uniqueArray(fc.integer({ min: 1, max: 5000 }), { maxLength: 40 })
  .map((pgnos) => pgnos.sort((a, b) => a - b));

describe('LTX', () => {
  test('round trip of any pages, in memory and as a stream in any chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        pageSets,
        fc.constantFrom(512, 4096, 65536),
        fc.integer({ min: 1, max: 9000 }),
        fc.constantFrom<PageEncoding>('block', 'frame'),
        async (pgnos, pageSize, chunk, encoding) => {
          const head = header({ pageSize, commit: 5000, minTxid: 5, maxTxid: 9 });
          const pages = pgnos.map((pgno) => page(pgno, pgno, pageSize));
          const bytes = encodeLtx(head, pages, encoding);
          const decoded = decodeLtx(bytes);
          expect(decoded.header).toEqual(head);
          expect(decoded.pageCount).toBe(pages.length);
          expect(listed(decoded.pages())).toEqual(listed(pages));
          expect(await streamed(bytes, chunk)).toEqual({ header: head, pages: listed(pages) });
        },
      ),
      { numRuns: 40 },
    );
  });

  test('the bytes are those of the format', () => {
    const bytes = Buffer.from(encodeLtx(header({ commit: 3 }), [{ pgno: 3, data: new Uint8Array(512) }]));
    expect(bytes.toString('latin1', 0, 4)).toBe('LTX1');
    expect(bytes.readUInt32BE(4)).toBe(2);
    expect(bytes.readUInt32BE(100)).toBe(3);
    expect(bytes.readUInt16BE(104)).toBe(1);
    const end = 110 + bytes.readUInt32BE(106);
    expect(bytes.subarray(end, end + 6)).toEqual(Buffer.alloc(6));
    expect([...bytes.subarray(end + 6, end + 10)]).toEqual([3, 100, end - 100, 0]);
    expect(bytes.readBigUInt64BE(end + 10)).toBe(4n);
    expect(bytes.readBigUInt64BE(end + 18)).toBe(0n);
    expect(bytes.readBigUInt64BE(end + 26) >> 63n).toBe(1n);
    expect(bytes.length).toBe(end + 34);
  });

  test('a snapshot streams every page but the lock page, across index pieces', async () => {
    const pageCount = 40_000;
    const one = new Uint8Array(512);
    const source = { pageSize: 512, pageCount, read: (pgno: number) => one.fill(pgno & 255) };
    const bytes = await collect(encodeLtxSnapshot(header({ minTxid: 1, maxTxid: 77, commit: pageCount }), source));
    const stream = await decodeLtxStream(inChunks(bytes, 131_072));
    let next = 1;
    for await (const batch of stream.batches())
      for (const { pgno, data } of batch) {
        expect(pgno === next && data[0] === (pgno & 255) && data[511] === data[0]).toBe(true);
        next++;
      }
    expect(next - 1).toBe(pageCount);
    expect(decodeLtx(bytes).pageCount).toBe(pageCount);
  });

  test('the lock page is never written and never accepted', () => {
    const lock = lockPage(65536);
    expect(lock).toBe(16385);
    const head = header({ pageSize: 65536, commit: lock + 1 });
    expect(() => encodeLtx(head, [page(lock, 0, 65536)])).toThrow('lock page');
    const bytes = encodeLtx(head, [page(lock - 1, 0, 65536)]);
    new DataView(bytes.buffer).setUint32(100, lock);
    expect(() => decodeLtx(bytes)).toThrow('lock page');
  });

  test.each([
    ['pages out of order', header(), [page(3), page(2)]],
    ['a page twice', header(), [page(3), page(3)]],
    ['a page beyond the end', header(), [page(11)]],
    ['a page of another size', header(), [page(1, 0, 1024)]],
    ['a full image with a hole', header({ minTxid: 1, commit: 3 }), [page(1), page(3)]],
    ['a full image that is cut off', header({ minTxid: 1, commit: 3 }), [page(1), page(2)]],
    ['an empty database', header({ commit: 0 }), []],
    ['a WAL size without an offset', header({ walOffset: 0 }), []],
  ])('the encoder refuses %s', (_, head, pages) => {
    expect(() => encodeLtx(head, pages)).toThrow('bug:');
  });
});

describe('mergeLtx', () => {
  test('equals applying the files one after another', () => {
    const step = fc.record({
      commit: fc.integer({ min: 1, max: 40 }),
      pgnos: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 12 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
        const files: DecodedLtx[] = [];
        const state = new Map<number, string>();
        let commit = 0;
        steps.forEach((one, i) => {
          const grown = Array.from({ length: Math.max(0, one.commit - commit) }, (_, k) => commit + 1 + k);
          const pgnos = [...new Set([...one.pgnos, ...(i === 0 ? [] : grown)])].filter((pgno) => pgno <= one.commit);
          const pages = pgnos.sort((a, b) => a - b).map((pgno) => page(pgno, i));
          files.push(decodeLtx(encodeLtx(header({ commit: one.commit, minTxid: i + 5, maxTxid: i + 5 }), pages)));
          for (const pgno of state.keys()) if (pgno > one.commit) state.delete(pgno);
          for (const [pgno, data] of listed(pages)) state.set(pgno, data);
          commit = one.commit;
        });
        const merged = mergeLtx(files);
        expect(merged.header).toMatchObject({ minTxid: 5, maxTxid: 4 + steps.length, commit });
        expect(listed(merged.pages)).toEqual([...state].sort((a, b) => a[0] - b[0]));
        expect(listed(decodeLtx(encodeLtx(merged.header, merged.pages)).pages())).toEqual(listed(merged.pages));
      }),
      { numRuns: 100 },
    );
  });

  test('refuses a gap and another page size', () => {
    const file = (fields: Partial<LtxHeader>): DecodedLtx => decodeLtx(encodeLtx(header(fields), []));
    const five = file({ minTxid: 5, maxTxid: 5 });
    expect(failure(() => mergeLtx([five, file({ minTxid: 7, maxTxid: 7 })]))).toBe('SQLITE_LOG_GAP');
    expect(failure(() => mergeLtx([five, file({ minTxid: 5, maxTxid: 5 })]))).toBe('SQLITE_LOG_GAP');
    expect(failure(() => mergeLtx([five, file({ minTxid: 6, maxTxid: 6, pageSize: 1024 })]))).toBe(
      'SQLITE_PAGE_SIZE_MISMATCH',
    );
  });
});

function failure(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'no error';
}
