/** A log in a memory twin (or on any blobs), and small segments to put into it. */
import { epoch } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { MemoryNats, type MemoryNatsOptions, type MemorySession } from '@canopy/nats/memory';
import type { AppendInput } from '../../src/log/appender.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtx, encodeLtxSnapshot } from '../../src/ltx/encoder.ts';
import type { LtxPage } from '../../src/ltx/header.ts';
import { header, page } from '../ltx/pages.ts';

export const BUCKET = 'test_ledger_wal';
export const PAGES = 3;

export interface MemoryLog {
  readonly nats: MemoryNats;
  readonly session: MemorySession;
  readonly blobs: Blobs;
  readonly log: SegmentLog;
  /** Another process's view of the same bucket. */
  other(): Promise<SegmentLog>;
}

export async function memoryLog(options: MemoryNatsOptions = {}): Promise<MemoryLog> {
  const nats = new MemoryNats(options);
  const session = nats.session();
  const blobs = await session.ensureBlobs(BUCKET);
  const open = (given: Blobs): SegmentLog => new SegmentLog({ blobs: given, clock: nats.clock });
  return {
    nats,
    session,
    blobs,
    log: open(blobs),
    other: async () => open(await nats.session().blobs(BUCKET)),
  };
}

/** The append of one transaction: TXID 1 is a full image of three pages, the others change one page. */
export function segment(
  txid: number,
  fields: Partial<AppendInput> & { version?: number; timestamp?: number } = {},
): AppendInput {
  const { version = txid, timestamp = 1_700_000_000_000 + txid * 1000, ...given } = fields;
  const pages: LtxPage[] =
    txid === 1 ? [1, 2, 3].map((pgno) => page(pgno, version)) : [page((txid % PAGES) + 1, version)];
  const bytes = encodeLtx(header({ minTxid: txid, maxTxid: txid, commit: PAGES, timestamp }), pages);
  return { txid, epoch: epoch(1), node: 'a', kind: 'commit', bytes, ...given };
}

export async function fill(
  log: SegmentLog,
  from: number,
  to: number,
  fields: Parameters<typeof segment>[1] = {},
): Promise<void> {
  for (let txid = from; txid <= to; txid++) await log.append(segment(txid, fields));
}

/** Stores a full image as of `txid`. */
export async function snapshotAt(log: SegmentLog, txid: number, pageCount = PAGES): Promise<void> {
  const timestamp = 1_700_000_000_000 + txid * 1000;
  const head = header({
    minTxid: 1,
    maxTxid: txid,
    commit: pageCount,
    timestamp,
    walOffset: 0,
    walSalt1: 0,
    walSalt2: 0,
  });
  const source = { pageSize: 512, pageCount, read: (pgno: number) => page(pgno, txid).data };
  await log.putSnapshot({ txid, epoch: epoch(1), node: 'a', timestamp, data: encodeLtxSnapshot(head, source) });
}
