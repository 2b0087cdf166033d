/**
 * A WAL and a wal-index with bytes that nobody wrote: whatever is changed, what is read is a prefix of what was committed,
 * nothing is thrown, and no more memory is taken than the reader's one buffer.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '@canopy/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FRAME_HEADER_SIZE, parseWalHeader, WAL_HEADER_SIZE, WalChecksum } from '../../src/wal/header.ts';
import { startOf, type WalBatch, type WalCursor, WalReader, type WalScan } from '../../src/wal/reader.ts';
import { endOf, INDEX_HEADER_SIZE, parseWalIndex } from '../../src/wal/wal-index.ts';
import { countAllocated, mutate } from '../ltx/hostile.ts';
import { WalDatabase } from './databases.ts';

const PAGE_SIZE = 512;
const FRAME_SIZE = FRAME_HEADER_SIZE + PAGE_SIZE;
/** The buffer of a pass, and small change. */
const ALLOCATED_MAX = 1024 * 1024 + 65_536;

let source: WalDatabase;
let clean: Buffer;
let fd: number;
let all: WalBatch;
let cursor: WalCursor;
/** Of the file that is changed, and of one that never is. */
let reader: WalReader;
let truth: WalReader;
let pristine: number;

/** A generation that was restarted, with the old one's frames behind its own; then the file as it was, in a copy. */
beforeAll(() => {
  source = new WalDatabase(PAGE_SIZE);
  source.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
  for (let i = 0; i < 6; i++) source.exec(`INSERT INTO t (body) VALUES ('${'old '.repeat(i * 60)}')`);
  source.exec('PRAGMA wal_checkpoint(RESTART)');
  for (let i = 0; i < 4; i++) source.exec(`INSERT INTO t (body) VALUES ('${'new '.repeat(i * 60)}')`);
  clean = source.walBytes();
  const copy = join(source.directory, 'fuzzed');
  writeFileSync(copy, clean);
  fd = openSync(copy, 'r+');
  all = new WalReader(fd).read() as WalBatch;
  expect(all).toMatchObject({ type: 'batch', transactions: 4, pendingBytes: 0 });
  expect(clean.length).toBeGreaterThan(all.end.offset + FRAME_SIZE);
  cursor = (new WalReader(fd, { maxBytes: 1 }).read() as WalBatch).end;
});

afterAll(() => {
  closeSync(fd);
  source[Symbol.dispose]();
});

/** What was committed before the frame that holds the byte. */
function committedBefore(at: number, from: WalCursor): WalBatch {
  const frame = WAL_HEADER_SIZE + Math.floor((at - WAL_HEADER_SIZE) / FRAME_SIZE) * FRAME_SIZE;
  return reader.scan(from, Math.max(from.offset, frame)) as WalBatch;
}

function summary(batch: WalBatch): unknown {
  return { end: batch.end, transactions: batch.transactions, commit: batch.commit, pages: [...batch.pages] };
}

/** What is wrong with what was read of a damaged file, or undefined. */
function fault(scan: WalScan, from: WalCursor): string | undefined {
  if (scan.type !== 'batch') return undefined;
  if (scan.end.offset > all.end.offset) return `it read past the end, to ${scan.end.offset}`;
  const expected = truth.scan(from, scan.end.offset) as WalBatch;
  return JSON.stringify(summary(scan)) === JSON.stringify(summary(expected)) ? undefined : 'it read what nobody wrote';
}

beforeAll(() => {
  pristine = openSync(join(source.directory, 'pristine'), 'w+');
  writeSync(pristine, clean);
  truth = new WalReader(pristine);
  reader = new WalReader(fd);
});
afterAll(() => closeSync(pristine));

describe('a WAL', () => {
  test('with any bit flipped ends before the frame that the bit is in', () => {
    const start = startOf(all.header);
    // One bit of every byte, another one in the next.
    for (let bit = 0; bit < clean.length * 8; bit += 7) {
      const at = bit >> 3;
      const bad = Buffer.of((clean[at] as number) ^ (1 << (bit & 7)));
      const expected = at < WAL_HEADER_SIZE ? undefined : committedBefore(at, start);
      writeSync(fd, bad, 0, 1, at);
      const scan = reader.read();
      const beside = reader.read(cursor);
      writeSync(fd, clean, at, 1, at);
      if (expected === undefined) expect([bit, scan.type]).toEqual([bit, 'empty']);
      else if (at >= all.end.offset) expect([bit, summary(scan as WalBatch)]).toEqual([bit, summary(all)]);
      else expect([bit, summary(scan as WalBatch)]).toEqual([bit, summary(expected)]);
      const wrong = fault(beside, cursor);
      if (wrong !== undefined) expect({ bit, wrong }).toBeUndefined();
    }
  });

  test('cut off anywhere is read up to the last whole commit', () => {
    const start = startOf(all.header);
    for (let size = clean.length; size >= 0; size--) {
      ftruncateSync(fd, size);
      const scan = reader.read();
      if (size < WAL_HEADER_SIZE) expect([size, scan.type]).toEqual([size, 'empty']);
      else {
        const whole = truth.scan(start, size - ((size - WAL_HEADER_SIZE) % FRAME_SIZE)) as WalBatch;
        const expected = whole.end.offset > all.end.offset ? all : whole;
        expect([size, summary(scan as WalBatch)]).toEqual([size, summary(expected)]);
      }
      const beside = reader.read(cursor);
      if (size < cursor.offset) expect([size, beside.type]).toEqual([size, 'truncated']);
    }
    writeSync(fd, clean, 0, clean.length, 0);
  });

  test('changed at random is a prefix of what was committed, within the one buffer', () => {
    const random = seededRandom('wal-fuzz-1');
    const start = startOf(all.header);
    for (let round = 0; round < 800; round++) {
      const bad = mutate(clean, random);
      ftruncateSync(fd, 0);
      writeSync(fd, bad, 0, bad.length, 0);
      const limit = random.int(bad.length + 1000);
      const scans: [WalScan | undefined, WalCursor][] = [];
      const asked = countAllocated(() => {
        const fresh = new WalReader(fd);
        scans.push([fresh.read(), start], [fresh.read(cursor), cursor], [fresh.scan(cursor, limit), cursor]);
      });
      expect(asked).toBeLessThan(ALLOCATED_MAX);
      for (const [scan, from] of scans) {
        const wrong = scan === undefined ? undefined : fault(scan, from);
        if (wrong !== undefined) expect({ round, wrong }).toBeUndefined();
      }
    }
    ftruncateSync(fd, 0);
    writeSync(fd, clean, 0, clean.length, 0);
  });

  test('whose header is right but absurd is none', () => {
    const forged = (at: number, value: number): Uint8Array => {
      const bytes = new Uint8Array(clean.subarray(0, WAL_HEADER_SIZE));
      const view = new DataView(bytes.buffer);
      view.setUint32(at, value);
      const sum = new WalChecksum(view.getUint32(0) === 0x377f0683, 0, 0);
      sum.update(view, 0, 24);
      view.setUint32(24, sum.s1);
      view.setUint32(28, sum.s2);
      return bytes;
    };
    expect(parseWalHeader(forged(8, 4096))).toMatchObject({ pageSize: 4096 });
    for (const pageSize of [0, 1, 256, 513, 131_072, 0x8000_0000, 0xffff_ffff])
      expect(parseWalHeader(forged(8, pageSize))).toBeUndefined();
    for (const version of [0, 3_006_999, 3_007_001, 0xffff_ffff])
      expect(parseWalHeader(forged(4, version))).toBeUndefined();
  });

  test('the checks find a reader that goes past the end', () => {
    const past = { ...all, end: { ...all.end, offset: all.end.offset + FRAME_SIZE } };
    expect(fault(past, startOf(all.header))).toContain('past the end');
    const other = { ...all, pages: new Map([...all.pages].slice(1)) };
    expect(fault(other, startOf(all.header))).toContain('nobody wrote');
  });
});

test('a limit that is no end of a frame ends the pass at the frame before it', () => {
  for (let limit = cursor.offset; limit < all.end.offset; limit += 97) {
    const whole = limit - ((limit - WAL_HEADER_SIZE) % FRAME_SIZE);
    expect(summary(truth.scan(cursor, limit) as WalBatch)).toEqual(summary(truth.scan(cursor, whole) as WalBatch));
  }
});

describe('a wal-index', () => {
  function index(): Uint8Array {
    const bytes = new Uint8Array(INDEX_HEADER_SIZE);
    bytes.set(readFileSync(`${source.path}-shm`).subarray(0, INDEX_HEADER_SIZE));
    expect(parseWalIndex(bytes)).toMatchObject({ type: 'index', pageSize: PAGE_SIZE });
    return bytes;
  }

  test('with any bit flipped, in one copy or in both, says nothing', () => {
    const good = index();
    for (let bit = 0; bit < INDEX_HEADER_SIZE * 8; bit++) {
      const bad = good.slice();
      const at = bit >> 3;
      bad[at] = (bad[at] as number) ^ (1 << (bit & 7));
      expect([bit, parseWalIndex(bad).type]).toEqual([bit, 'unstable']);
      if (at >= 48) continue;
      bad[at + 48] = bad[at] as number;
      expect([bit, parseWalIndex(bad).type]).toEqual([bit, at < 4 ? 'unknown' : 'unstable']);
    }
    for (let size = 0; size < INDEX_HEADER_SIZE; size++)
      expect(parseWalIndex(good.subarray(0, size)).type).toBe('unstable');
  });

  test('of any bytes is no index, and none is thrown at', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 0, maxLength: 120 }),
        fc.boolean(),
        fc.boolean(),
        (half, twice, little) => {
          const bytes = twice ? new Uint8Array(Buffer.concat([half.subarray(0, 48), half.subarray(0, 48)])) : half;
          expect(parseWalIndex(bytes, little).type).not.toBe('index');
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('that is right but absurd names an end that is a number', () => {
    const random = seededRandom('index');
    const good = index();
    for (let round = 0; round < 500; round++) {
      const bytes = good.map((byte, i) => (i % 48 >= 13 && i % 48 < 40 ? random.int(256) : byte));
      bytes.copyWithin(48, 0, 48);
      const view = new DataView(bytes.buffer);
      const little = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
      const sum = new WalChecksum(!little, 0, 0);
      sum.update(view, 0, 40);
      for (const copy of [0, 48]) {
        view.setUint32(copy + 40, sum.s1, little);
        view.setUint32(copy + 44, sum.s2, little);
      }
      const state = parseWalIndex(bytes);
      expect(state.type).toBe('index');
      if (state.type === 'index') expect(Number.isSafeInteger(endOf(state)?.offset ?? 0)).toBe(true);
    }
  });
});
