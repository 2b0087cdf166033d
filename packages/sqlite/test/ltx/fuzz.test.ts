/** LTX bytes from a hostile or broken store: see hostile.ts for what must hold. Corpus: both page encodings, and fixtures. */
import { readFileSync } from 'node:fs';
import { seededRandom } from '@canopy/core';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Crc64 } from '../../src/ltx/crc64.ts';
import { decodeLtx, decodeLtxStream } from '../../src/ltx/decoder.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { HEADER_SIZE, type LtxPage, type PageEncoding } from '../../src/ltx/header.ts';
import { LtxParser } from '../../src/ltx/parser.ts';
import { type Contents, judge, mutate, type Verdict, verdictOf } from './hostile.ts';
import { header, inChunks, page } from './pages.ts';

const ENCODINGS: readonly PageEncoding[] = ['block', 'frame'];
const SEED = 'ltx-fuzz-1';

const decode = (bytes: Uint8Array): Contents => {
  const { header, pages } = decodeLtx(bytes);
  return { header, pages: [...pages()] };
};

/** Half noise, all noise (stored as it is in a frame), all zeros, and text that repeats. */
function small(encoding: PageEncoding): { bytes: Uint8Array; contents: Contents } {
  const noise = seededRandom('noise');
  const pages: LtxPage[] = [
    page(1),
    { pgno: 4, data: new Uint8Array(512).map(() => noise.int(256)) },
    { pgno: 7, data: new Uint8Array(512) },
    { pgno: 9, data: new Uint8Array(Buffer.from('a row of text, '.repeat(40)).subarray(0, 512)) },
  ];
  const bytes = encodeLtx(header(), pages, encoding);
  return { bytes, contents: decode(bytes) };
}

async function streamed(bytes: Uint8Array, chunk: number): Promise<Verdict> {
  const pages: LtxPage[] = [];
  try {
    const stream = await decodeLtxStream(inChunks(bytes, chunk));
    for await (const batch of stream.batches())
      for (const { pgno, data } of batch) pages.push({ pgno, data: data.slice() });
    return verdictOf({ header: stream.header, pages }, undefined, undefined);
  } catch (error) {
    return verdictOf(undefined, error, undefined);
  }
}

afterEach(() => vi.restoreAllMocks());

describe.each(ENCODINGS)('%s pages', (encoding) => {
  const { bytes, contents } = small(encoding);

  test('cut off anywhere, they are refused', async () => {
    for (let cut = 0; cut < bytes.length; cut++) {
      const part = bytes.slice(0, cut);
      expect([cut, judge(decode, part, undefined)]).toEqual([cut, 'refused']);
      if (cut % 29 === 0) expect([cut, await streamed(part, 1 + (cut % 100))]).toEqual([cut, 'refused']);
    }
  });

  test('with any bit flipped they are refused, or their pages are the same', () => {
    let accepted = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const bad = bytes.slice();
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      const verdict = judge(decode, bad, contents);
      if (typeof verdict === 'object') expect({ bit, verdict }).toBeUndefined();
      if (verdict === 'accepted') accepted++;
    }
    // Compressed bytes are not hashed, only what they inflate to: a few flips change nothing.
    expect(accepted).toBeLessThan(bytes.length / 10);
  });

  test('with any byte replaced by any hostile word they are refused, or their pages are the same', () => {
    for (let at = 0; at + 4 <= bytes.length; at++)
      for (const word of [0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_0000]) {
        const bad = bytes.slice();
        new DataView(bad.buffer).setUint32(at, word);
        const verdict = judge(decode, bad, contents);
        if (typeof verdict === 'object') expect({ at, word, verdict }).toBeUndefined();
      }
  });

  test('changed at random they are refused, whole and in chunks alike, within bounded steps', async () => {
    const next = vi.spyOn(LtxParser.prototype, 'next');
    const random = seededRandom(`${SEED}-${encoding}`);
    for (let round = 0; round < 3000; round++) {
      const bad = mutate(bytes, random);
      next.mockClear();
      const verdict = judge(decode, bad, contents);
      if (typeof verdict === 'object') expect({ round, verdict }).toBeUndefined();
      expect(next.mock.calls.length).toBeLessThanOrEqual(bad.length / 11 + 2);
      if (round % 10 > 0) continue;
      const chunk = 1 + random.int(80);
      next.mockClear();
      expect({ round, verdict: await streamed(bad, chunk) }).toEqual({ round, verdict });
      expect(next.mock.calls.length).toBeLessThanOrEqual(bad.length / 11 + bad.length / chunk + 2);
    }
  });

  test('followed by anything they are refused', async () => {
    const longer = new Uint8Array(Buffer.concat([bytes, Buffer.of(0)]));
    expect(judge(decode, longer, undefined)).toBe('refused');
    expect(await streamed(longer, 64)).toBe('refused');
    expect(await streamed(longer, bytes.length)).toBe('refused');
  });

  test('in odd chunks they are what they were', async () => {
    for (const chunk of [1, 2, 3, 5, 7, 13, 61, 99, 101, 4097]) expect(await streamed(bytes, chunk)).toBe('accepted');
  });
});

describe('what Litestream wrote, changed at random', () => {
  test.each([
    'litestream-v0.5.15/ltx/9/0000000000000001-000000000000000a.ltx',
    'litestream-v0.5.18/ltx/9/0000000000000001-000000000000000a.ltx',
  ])('%s', (name) => {
    const bytes = new Uint8Array(readFileSync(new URL(`../fixtures/${name}`, import.meta.url)));
    const contents = decode(bytes);
    const random = seededRandom(`${SEED}-${name}`);
    for (let round = 0; round < 1500; round++) {
      const verdict = judge(decode, mutate(bytes, random), contents);
      if (typeof verdict === 'object') expect({ round, verdict }).toBeUndefined();
    }
  });
});

/** A file of one frame as given, with a right index and checksum: whatever is wrong with it is the frame itself. */
function forged(frame: Uint8Array, pageSize = 512, inflated = new Uint8Array(pageSize)): Uint8Array {
  const good = encodeLtx(header({ pageSize }), [{ pgno: 3, data: inflated }]);
  const end = Buffer.alloc(6);
  const index = Buffer.from([3, ...varint(HEADER_SIZE), ...varint(6 + frame.length), 0]);
  const length = Buffer.alloc(16);
  length.writeBigUInt64BE(BigInt(index.length));
  const head = Buffer.concat([good.subarray(0, HEADER_SIZE), Buffer.from([0, 0, 0, 3, 0, 1])]);
  const crc = new Crc64().update(head).update(frame, 0, 4).update(inflated).update(end).update(index).update(length);
  const sum = Buffer.alloc(8);
  sum.writeUInt32BE((crc.hi | 0x8000_0000) >>> 0, 0);
  sum.writeUInt32BE(crc.lo, 4);
  return new Uint8Array(Buffer.concat([head, frame, end, index, length, sum]));
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

const block = (...bytes: number[]): Uint8Array => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length);
  return new Uint8Array(Buffer.concat([size, Buffer.from(bytes)]));
};

describe('LZ4 that is made to do harm', () => {
  const zeros = [0x1f, 0, 1, 0, 255, 227 - 1 - 4 + 4 - 15, 0x50, 0, 0, 0, 0, 0];

  test('the forger can make a good file', () => {
    const literal = block(0xf0, 255, 512 - 15 - 255, ...new Uint8Array(512));
    expect(judge(decode, forged(literal), undefined)).toBe('accepted');
  });

  test.each([
    ['a length of 0', Uint8Array.of(0, 0, 0, 0)],
    ['a length of 4 GiB', Uint8Array.of(255, 255, 255, 255, 0)],
    ['a length just past the bound', Uint8Array.of(0, 0, 2, 0x13)],
    ['literals past the end of the block', block(0xf0, 255, 255, 255, 1)],
    ['literals past the end of the page', block(0xf0, 255, 255, 255, 255, 100, ...new Uint8Array(900))],
    ['a literal length that never ends', block(0xf0, ...new Uint8Array(500).fill(255))],
    ['a match length that never ends', block(0x1f, 0, 1, 0, ...new Uint8Array(500).fill(255))],
    ['a match before the page', block(0x1f, 0, 2, 0, 255, 255, 0x50, 0, 0, 0, 0, 0)],
    ['a match at distance 0', block(0x1f, 0, 0, 0, 255, 200, 0x50, 0, 0, 0, 0, 0)],
    ['a match at the furthest distance', block(0x1f, 0, 255, 255, 255, 200, 0x50, 0, 0, 0, 0, 0)],
    ['too short a page', block(0x50, 0, 0, 0, 0, 0)],
    ['too long a page', block(...zeros.slice(0, 4), 255, 255, 255, 0, 0x50, 0, 0, 0, 0, 0)],
    ['a match at the very end', block(0x1f, 0, 1, 0)],
    ['nothing', block(0)],
  ])('%s', (_, frame) => {
    expect(judge(decode, forged(frame), undefined)).toBe('refused');
  });

  test('any block at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 528 }), fc.constantFrom(512, 4096, 65536), (bytes, pageSize) => {
        expect(judge(decode, forged(block(...bytes), pageSize), undefined)).toBe('refused');
      }),
      { numRuns: 1500 },
    );
  });
});

/** With the file checksum that goes with its bytes: what is wrong with it is wrong by itself. */
function sealed(bytes: Uint8Array, pages: readonly LtxPage[]): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const crc = new Crc64().update(bytes, 0, HEADER_SIZE);
  let at = HEADER_SIZE;
  for (const { data } of pages) {
    crc.update(bytes, at, at + 10).update(data);
    at += 10 + view.getUint32(at + 6);
  }
  crc.update(bytes, at, bytes.length - 8);
  view.setUint32(bytes.length - 8, (crc.hi | 0x8000_0000) >>> 0);
  view.setUint32(bytes.length - 4, crc.lo);
  return bytes;
}

describe('headers and index', () => {
  const { bytes, contents } = small('block');
  const changed = (at: number, ...values: number[]): Uint8Array => {
    const bad = bytes.slice();
    bad.set(values, at);
    return sealed(bad, contents.pages);
  };
  const size = (value: number): Uint8Array => changed(8, value >>> 24, value >>> 16, value >>> 8, value);
  const most = new Array<number>(8).fill(255);

  test.each([
    ...[0, 1, 3, 256, 511, 513, 131_072, 0x8000_0000, 0xffff_ffff].map((n) => [`page size ${n}`, size(n)] as const),
    ['page size 65536 with small pages', size(65536)],
    ['no pages in the database', changed(12, 0, 0, 0, 0)],
    ['transaction 0', changed(16, 0, 0, 0, 0, 0, 0, 0, 0)],
    ['a transaction past 2^53', changed(24, ...most)],
    ['a time that no clock has', changed(32, 0x00, 0x1f, 255, 255, 255, 255, 255, 255)],
    ['a WAL offset below 0', changed(48, ...most)],
    ['a database checksum although there is none', changed(40, 128)],
    ['flags of a later version', changed(7, 4)],
    ['an index length of 2^64 - 1', changed(bytes.length - 24, ...most)],
    ['an index whose varints never end', changed(bytes.length - 24 - 14, ...new Array<number>(13).fill(255))],
  ] as const)('%s', (_, bad) => {
    expect(judge(decode, bad, undefined)).toBe('refused');
  });

  test('the checksum that goes with them is not what they are refused for', () => {
    expect(judge(decode, changed(38, 9), undefined)).toBe('accepted');
  });
});

describe('a stream that never ends', () => {
  const head = encodeLtx(header(), []).subarray(0, HEADER_SIZE);

  /** How much of it is read before it is refused. */
  async function consumed(...start: readonly number[]): Promise<number> {
    let sent = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(Buffer.concat([head, Buffer.from(start)]));
      for (; sent < 64 * 1024 * 1024; sent += 4096) yield new Uint8Array(4096).fill(255);
    }
    const drain = async (): Promise<void> => {
      for await (const _ of (await decodeLtxStream(endless())).batches());
    };
    await expect(drain()).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    return sent;
  }

  test.each([
    ['a block that claims 4 GiB', [0, 0, 0, 3, 0, 1, 255, 255, 255, 255]],
    [
      'a frame whose block claims 2 GiB',
      [0, 0, 0, 3, 0, 0, 4, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7, 255, 255, 255, 0x7f],
    ],
    ['an index without an end', [0, 0, 0, 0, 0, 0]],
    ['pages without an order', [0, 0, 0, 3, 0, 1, 0, 0, 0, 1]],
  ])('%s', async (_, start) => {
    expect(await consumed(...start)).toBeLessThan(16 * 1024);
  });
});

describe('the judge itself', () => {
  const { bytes, contents } = small('block');
  const violation = { violation: expect.any(String) };

  test.each([
    ['crashes', () => new Uint8Array(4).at(9)?.toString() ?? (undefined as unknown as Contents).header],
    ['asks for what the input says', () => decode(bytes) && new Uint8Array(0xffff_ffff)],
    ['asks for too much in pieces', () => Array.from({ length: 40 }, () => new Uint8Array(1024 * 1024))],
    ['gives other pages', () => ({ ...contents, pages: contents.pages.slice(1) })],
  ])('finds a decoder that %s', (_, bad) => {
    expect(judge(bad as unknown as typeof decode, bytes, contents)).toEqual(violation);
  });
});
