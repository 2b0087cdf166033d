/**
 * Sends an image of the given size in MiB, sparse as a fresh large database is, through the encoding and the decoding
 * stream, and prints what that took: a line of JSON. In a process of its own, so that the memory is the codec's.
 */
import { decodeLtxStream } from '../../src/ltx/decoder.ts';
import { encodeLtxSnapshot } from '../../src/ltx/encoder.ts';
import type { PageEncoding } from '../../src/ltx/header.ts';
import { header } from './pages.ts';

const PAGE_SIZE = 4096;
const MIB = 1024 * 1024;

const pageCount = (Number(process.argv[2]) * MIB) / PAGE_SIZE;
const encoding = process.argv[3] as PageEncoding;
let mostBytes = 0;
let compressedBytes = 0;

/** Every 64th page holds something that does not compress. */
const page = new Uint8Array(PAGE_SIZE);
const noise = new Uint8Array(PAGE_SIZE).map((_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 21);
const read = (pgno: number): Uint8Array => (pgno % 64 === 0 ? noise : page);

async function* watched(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    compressedBytes += chunk.length;
    mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
    yield chunk;
  }
}

async function run(pages: number): Promise<number> {
  const head = header({ pageSize: PAGE_SIZE, commit: pages, minTxid: 1, maxTxid: 1 });
  const source = { pageSize: PAGE_SIZE, pageCount: pages, read };
  let seen = 0;
  const stream = await decodeLtxStream(watched(encodeLtxSnapshot(head, source, encoding)));
  for await (const batch of stream.batches()) seen += batch.length;
  return seen;
}

await run(1000);
const before = process.memoryUsage.rss();
const seen = await run(pageCount);
const growthBytes = Math.max(0, mostBytes - before);
process.stdout.write(`${JSON.stringify({ pages: seen, compressedBytes, growthBytes })}\n`);
