/**
 * Making and reading segments, in memory: pages of a table of short rows, and pages full of text. Baseline: the runtime's
 * own raw deflate at its fastest, over the same pages.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type Random, seededRandom, systemClock } from '@canopy/core';
import { decodeLtx, encodeLtx, type LtxHeader, type LtxPage } from '@canopy/sqlite/ltx';
import type { Report } from '../../harness.ts';

const PAGE_BYTES = 4096;
/** As a busy primary makes them. */
const SEGMENT_PAGES = 64;

export function measureCodec(report: Report, megabytes: number): void {
  for (const [prefix, fill] of [
    ['ltx', rows],
    ['ltx_text', text],
  ] as const) {
    const pages = makePages(fill);
    const rounds = Math.ceil((megabytes * 1e6) / (SEGMENT_PAGES * PAGE_BYTES));
    const segment = encodeLtx(HEADER, pages);
    const deflated = pages.map(({ data }) => deflateRawSync(data, { level: 1 }));
    const encode = rate(rounds, () => encodeLtx(HEADER, pages));
    const decode = rate(rounds, () => [...decodeLtx(segment).pages()]);
    const deflate = rate(rounds, () => pages.map(({ data }) => deflateRawSync(data, { level: 1 })));
    const inflate = rate(rounds, () => deflated.map((data) => inflateRawSync(data)));
    const size = deflated.reduce((sum, { length }) => sum + length, 0);
    const target = { of: 'value', atLeast: 200 } as const;
    report.figure(`${prefix}_encode`, 'MB/s', encode, deflate, target);
    report.figure(`${prefix}_decode`, 'MB/s', decode, inflate, target);
    const pagesSize = SEGMENT_PAGES * PAGE_BYTES;
    report.figure(`${prefix}_size`, 'part', segment.length / pagesSize, size / pagesSize);
  }
}

const HEADER: LtxHeader = {
  pageSize: PAGE_BYTES,
  commit: 1000,
  minTxid: 2,
  maxTxid: 2,
  timestamp: 0,
  walOffset: 0,
  walSize: 0,
  walSalt1: 0,
  walSalt2: 0,
};

type Fill = (page: Buffer, random: Random) => void;

/** Half filled with rows of words and numbers, the rest empty, like the leaves of a table under random inserts. */
function rows(page: Buffer, random: Random): void {
  for (let at = PAGE_BYTES / 2; at < PAGE_BYTES - 64; at += 60)
    page.write(`customer-${random.int(100_000)} ordered item ${random.int(500)} at ${random.int(1e9)}`, at, 60);
}

const SYLLABLES = 'ba con de el fi gra hu in ja ker lo men no or pa qui re sta tu ver wo xi yel zan'.split(' ');

/** Full of sentences whose words hardly repeat: what LZ4 has most work with. */
function text(page: Buffer, random: Random): void {
  const syllable = (): string => SYLLABLES[random.int(SYLLABLES.length)] as string;
  for (let at = 64; at < PAGE_BYTES; )
    at += page.write(`${Array.from({ length: 1 + random.int(4) }, syllable).join('')} `, at);
}

function makePages(fill: Fill): readonly LtxPage[] {
  const random = seededRandom('pages');
  return Array.from({ length: SEGMENT_PAGES }, (_, i) => {
    const data = Buffer.alloc(PAGE_BYTES);
    fill(data, random);
    return { pgno: i + 1, data: new Uint8Array(data) };
  });
}

/** MB of pages per second, after a warm-up. */
function rate(rounds: number, work: () => unknown): number {
  for (let i = 0; i < Math.max(2, rounds / 5); i++) work();
  const from = systemClock.monotonic();
  for (let i = 0; i < rounds; i++) work();
  const seconds = (systemClock.monotonic() - from) / 1000;
  return (rounds * SEGMENT_PAGES * PAGE_BYTES) / 1e6 / seconds;
}
