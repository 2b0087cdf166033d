/**
 * Making and reading segments, in memory: pages of a table as they compress in practice. Baseline: the runtime's own raw
 * deflate at its fastest, over the same pages.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { seededRandom, systemClock } from '@canopy/core';
import { decodeLtx, encodeLtx, type LtxHeader, type LtxPage } from '@canopy/sqlite/ltx';
import type { Report } from '../../harness.ts';

const PAGE_BYTES = 4096;
/** As a busy primary makes them. */
const SEGMENT_PAGES = 64;

export function measureCodec(report: Report, megabytes: number): void {
  const pages = makePages();
  const rounds = Math.ceil((megabytes * 1e6) / (SEGMENT_PAGES * PAGE_BYTES));
  const segment = encodeLtx(HEADER, pages);
  const deflated = pages.map(({ data }) => deflateRawSync(data, { level: 1 }));
  const encode = rate(rounds, () => encodeLtx(HEADER, pages));
  const decode = rate(rounds, () => [...decodeLtx(segment).pages()]);
  const deflate = rate(rounds, () => pages.map(({ data }) => deflateRawSync(data, { level: 1 })));
  const inflate = rate(rounds, () => deflated.map((data) => inflateRawSync(data)));
  const size = deflated.reduce((sum, { length }) => sum + length, 0);
  report.figure('ltx_encode', 'MB/s', encode, deflate);
  report.figure('ltx_decode', 'MB/s', decode, inflate);
  report.figure('ltx_size', 'part', segment.length / (SEGMENT_PAGES * PAGE_BYTES), size / (SEGMENT_PAGES * PAGE_BYTES));
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

/** Half filled with rows of words and numbers, the rest empty, like the leaves of a table under random inserts. */
function makePages(): readonly LtxPage[] {
  const random = seededRandom('pages');
  return Array.from({ length: SEGMENT_PAGES }, (_, i) => {
    const data = Buffer.alloc(PAGE_BYTES);
    for (let at = PAGE_BYTES / 2; at < PAGE_BYTES - 64; at += 60) {
      data.write(`customer-${random.int(100_000)} ordered item ${random.int(500)} at ${random.int(1e9)}`, at, 60);
    }
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
