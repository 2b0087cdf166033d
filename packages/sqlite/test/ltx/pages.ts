/** Headers and pages for the tests of everything that reads or writes LTX. */
import type { LtxHeader, LtxPage } from '../../src/ltx/header.ts';

export function header(fields: Partial<LtxHeader> = {}): LtxHeader {
  return {
    pageSize: 512,
    commit: 10,
    minTxid: 2,
    maxTxid: 2,
    timestamp: 1_700_000_000_123,
    walOffset: 32,
    walSize: 0,
    walSalt1: 7,
    walSalt2: 0xffff_fffe,
    ...fields,
  };
}

/** A page whose contents tell its number and version; compressible in part. */
export function page(pgno: number, version = 0, pageSize = 512): LtxPage {
  const data = new Uint8Array(pageSize);
  let state = (pgno * 2654435761 + version * 40503) >>> 0;
  for (let i = 0; i < pageSize / 2; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return { pgno, data };
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
