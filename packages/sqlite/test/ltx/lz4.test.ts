import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Lz4Encoder, lz4Bound, lz4Decode } from '../../src/ltx/lz4-block.ts';
import { lz4FrameDecode, xxHash32 } from '../../src/ltx/lz4-frame.ts';

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/** Runs, repeats and noise in turn, as database pages have them. */
const texture = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(255), fc.nat(900)).map(([value, length]) => new Uint8Array(length).fill(value)),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(60))
        .map(([unit, times]) => new Uint8Array(Buffer.concat(Array.from({ length: times }, () => unit)))),
    ),
    { maxLength: 30 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)));

describe('LZ4 blocks', () => {
  test('come back as they went in, within the bound, with one encoder for many pages', () => {
    const encoder = new Lz4Encoder();
    fc.assert(
      fc.property(texture, (page) => {
        const block = new Uint8Array(lz4Bound(page.length) + 8).fill(0xee);
        const end = encoder.encode(page, block, 3);
        expect(end - 3).toBeLessThanOrEqual(lz4Bound(page.length));
        const back = new Uint8Array(page.length + 2).fill(0x55);
        expect(lz4Decode(block, 3, end, back, 1, page.length)).toBe(page.length);
        expect(Buffer.compare(back.subarray(1, page.length + 1), page)).toBe(0);
        expect([back[0], back[page.length + 1]]).toEqual([0x55, 0x55]);
      }),
      { numRuns: 300 },
    );
  });

  test('compress what repeats', () => {
    const page = new Uint8Array(4096);
    page.set(new TextEncoder().encode('some text in an otherwise empty page'), 1000);
    expect(new Lz4Encoder().encode(page, new Uint8Array(lz4Bound(4096)), 0)).toBeLessThan(120);
  });

  test('decode what another encoder made: overlapping match, long lengths', () => {
    // "abcabcabc…" (300 bytes) as `a b c`, then one match of 292 at distance 3, then five literals.
    const block = bytesOf(`3f6162630300${'ff'}${(292 - 19 - 255).toString(16).padStart(2, '0')}506263616263`);
    const back = new Uint8Array(300);
    expect(lz4Decode(block, 0, block.length, back, 0, 300)).toBe(300);
    expect(new TextDecoder().decode(back)).toBe(`${'abc'.repeat(98)}abcabc`);
  });

  test('refuse damage without writing outside the page', () => {
    const encoder = new Lz4Encoder();
    fc.assert(
      fc.property(texture, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(4096), (page, where, flip, limit) => {
        const block = new Uint8Array(lz4Bound(page.length));
        const end = encoder.encode(page, block, 0);
        block[where % end] = (block[where % end] as number) ^ flip;
        const back = new Uint8Array(limit + 64).fill(0x55);
        const length = lz4Decode(block, 0, where % 3 === 0 ? where % end : end, back, 0, limit);
        expect(length).toBeLessThanOrEqual(limit);
        expect(back.subarray(limit).every((byte) => byte === 0x55)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

/** The format's rules again, one byte at a time and nothing else; undefined where a block breaks them. */
function reference(block: Uint8Array, limit: number): number[] | undefined {
  const out: number[] = [];
  let at = 0;
  const next = (): number => (at < block.length ? (block[at++] as number) : Number.NaN);
  const run = (nibble: number): number => {
    let length = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; length += more) more = next();
    return length;
  };
  for (;;) {
    // A block ends with literals, if none then with a token that says so: never right behind a match.
    if (at >= block.length) return undefined;
    const token = next();
    const literals = run(token >> 4);
    if (!(literals <= block.length - at && literals <= limit - out.length)) return undefined;
    for (let i = 0; i < literals; i++) out.push(next());
    if (at === block.length) return (token & 15) === 0 ? out : undefined;
    const distance = next() + 256 * next();
    const length = run(token & 15) + 4;
    if (!(distance > 0 && distance <= out.length && length <= limit - out.length)) return undefined;
    for (let i = 0; i < length; i++) out.push(out[out.length - distance] as number);
  }
}

describe('LZ4 blocks of any origin', () => {
  /** Good blocks with a few bytes changed, and bytes that never were a block. */
  const blocks = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 60 }),
    fc
      .tuple(
        texture,
        fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(3), fc.nat(255), fc.constant(255))), { maxLength: 4 }),
      )
      .map(([page, changes]) => {
        const target = new Uint8Array(lz4Bound(page.length));
        const block = target.slice(0, new Lz4Encoder().encode(page, target, 0));
        for (const [where, value] of changes) block[where % block.length] = value;
        return block;
      }),
  );

  test('inflate to what the rules say, or are refused; nothing else is touched', () => {
    const seen = { refused: 0, inflated: 0 };
    fc.assert(
      fc.property(blocks, fc.constantFrom(16, 300, 4096, 65536), (block, limit) => {
        const target = new Uint8Array(limit + 128).fill(0x55);
        const expected = reference(block, limit);
        const length = lz4Decode(block, 0, block.length, target, 64, limit);
        expect(length).toBe(expected?.length ?? -1);
        if (expected !== undefined)
          expect(Buffer.compare(target.subarray(64, 64 + length), Uint8Array.from(expected))).toBe(0);
        for (let i = 0; i < 64; i++) expect(target[i] === 0x55 && target[64 + limit + i] === 0x55).toBe(true);
        seen[expected === undefined ? 'refused' : 'inflated']++;
      }),
      { numRuns: 1500 },
    );
    expect(Math.min(seen.refused, seen.inflated)).toBeGreaterThan(100);
  });
});

describe('LZ4 frames', () => {
  const word = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
  const start = [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7];
  const stored = (length: number): number[] => [...word((0x8000_0000 | length) >>> 0), ...new Array(length).fill(7)];

  test.each([
    ['more than a page', [...start, ...stored(300), ...stored(300), ...word(0)]],
    ['a block longer than a page', [...start, ...stored(600), ...word(0)]],
    ['less than a page', [...start, ...stored(300), ...word(0), ...word(0)]],
    ['nothing', [...start, ...word(0), ...word(0x02cc5d05)]],
    ['a stored block of nothing', [...start, ...word(0x8000_0000), ...stored(512)]],
    ['a block of 2 GiB', [...start, ...word(0x7fff_ffff)]],
    ['a stored block of 2 GiB', [...start, ...word(0xffff_ffff)]],
    ['another magic', [0x05, ...start.slice(1), ...stored(512)]],
    ['linked blocks', [...start.slice(0, 4), 0x44, 0x40, 0x5e, ...stored(512)]],
    ['a dictionary', [...start.slice(0, 4), 0x65, 0x40, 0, 0, 0, 0, 0, ...stored(512)]],
    ['no content checksum', [...start.slice(0, 4), 0x60, 0x40, 0x82, ...stored(512), ...word(0)]],
    ['another content checksum', [...start, ...stored(512), ...word(0), ...word(1)]],
  ])('of %s are refused, and nothing outside the page is touched', (_, bytes) => {
    const target = new Uint8Array(512 + 128).fill(0x55);
    expect(lz4FrameDecode(Uint8Array.from(bytes), 0, bytes.length, target, 64, 512)).toBe(-1);
    for (let i = 0; i < 64; i++) expect(target[i] === 0x55 && target[576 + i] === 0x55).toBe(true);
  });

  test('xxHash32 has its published values', () => {
    const hash = (text: string): number => xxHash32(new TextEncoder().encode(text), 0, text.length);
    expect(hash('').toString(16)).toBe('2cc5d05');
    expect(hash('a').toString(16)).toBe('550d7456');
    expect(hash('abc').toString(16)).toBe('32d153ff');
    expect(hash('Nobody inspects the spammish repetition').toString(16)).toBe('e2293b2f');
  });

  test('a page as old writers stored it: one stored block with a content checksum', () => {
    const page = new Uint8Array(512).map((_, i) => (i * 37) & 255);
    const frame = new Uint8Array(7 + 4 + 512 + 8);
    const view = new DataView(frame.buffer);
    frame.set(bytesOf('04224d186440a7'));
    view.setUint32(7, (0x8000_0000 | 512) >>> 0, true);
    frame.set(page, 11);
    view.setUint32(527, xxHash32(page, 0, 512), true);
    const back = new Uint8Array(512);
    expect(lz4FrameDecode(frame, 0, frame.length, back, 0, 512)).toBe(frame.length);
    expect(Buffer.compare(back, page)).toBe(0);
    for (let cut = 0; cut < frame.length; cut++) expect(lz4FrameDecode(frame, 0, cut, back, 0, 512)).toBe(0);
    for (const at of [0, 4, 6, 100, 530]) {
      const bad = frame.slice();
      bad[at] = (bad[at] as number) ^ 1;
      expect(lz4FrameDecode(bad, 0, bad.length, back, 0, 512)).toBe(-1);
    }
  });
});
