/**
 * A database far larger than the memory that anybody may take for it: its first image into the log, a standby made from
 * that, a commit that the standby follows, a merge of the log by its primary, and a restore by a process of its own. The
 * file is nearly all hole, so what is stored is small: what is measured is memory, and that it ends. A peak is that of
 * RssAnon, a resident peak that of everything (VmHWM), the program's text and libraries included.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type ConnectionSpec, epoch, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { SegmentLog } from '@canopy/sqlite';
import { eventually, spawnNode, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { MemoryPeak, openDatabase } from './databases.ts';

const BOUND = { of: 'value', atMost: 200 } as const;
const PAGE_BYTES = 4096;
const WITHIN_MS = 1_200_000;
const BUCKET = 'bench_large_wal';
/** In a database's header: its size in pages. */
const SIZE_AT = 28;

export async function measureLargeDatabase(report: Report, gigabytes: number): Promise<void> {
  const { clock } = systemEnv();
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory('bench-large'));
  const { connection } = stack.use(await testNatsServer({ syncAlways: true }));
  const path = join(directory, 'a.db');
  makeSparse(path, Math.round((gigabytes * 1e9) / PAGE_BYTES));
  const timed = async (name: string, work: () => Promise<void>): Promise<void> => {
    const from = clock.monotonic();
    await work();
    report.figure(`large.${name}`, 's', (clock.monotonic() - from) / 1000);
  };

  const peakOf = (pid: number): MemoryPeak => stack.use(new MemoryPeak(pid, clock));
  const told = (who: string, peak: MemoryPeak): void => {
    report.figure(`large.${who}.peak`, 'MB', peak.anonMb, undefined, BOUND);
    report.figure(`large.${who}.resident_peak`, 'MB', peak.residentMb);
  };

  // A check would read every page, and find that most belong to nobody.
  const options = { verify: 'none', verifyInterval: 0, compactionLevels: ['1s'] } as const;
  const place = { app: 'large', connection };
  const peaks: MemoryPeak[] = [];
  const watched = (pid: number): void => void peaks.push(peakOf(pid));
  const a = await openDatabase({ ...place, path, node: 'a' }, options, watched);
  stack.defer(() => a.database.stop());
  await timed('first_image', async () => {
    await a.database.promote({ epoch: epoch(1), signal: AbortSignal.timeout(WITHIN_MS) });
  });
  told('primary', peaks[0] as MemoryPeak);

  const copy = join(directory, 'b.db');
  const from = clock.monotonic();
  const b = await openDatabase({ ...place, path: copy, node: 'b' }, options, watched);
  stack.defer(() => b.database.stop());
  report.figure('large.bootstrap', 's', (clock.monotonic() - from) / 1000);
  await timed('follow', async () => {
    using application = new DatabaseSync(path, { timeout: 10_000 });
    application.exec("INSERT INTO t (x) VALUES ('after')");
    await b.database.waitFor(await a.database.sync(), { signal: AbortSignal.timeout(WITHIN_MS) });
  });
  told('standby', peaks[1] as MemoryPeak);
  await b.database.stop();
  await timed('compaction', () => merged(connection));
  told('compacting_primary', peaks[0] as MemoryPeak);

  const job = { connection, bucket: BUCKET, dest: join(directory, 'c.db') };
  await using child = await spawnNode(new URL('./restore-program.ts', import.meta.url), [JSON.stringify(job)]);
  const restoring = peakOf(child.pid);
  const done = JSON.parse(await child.line(/^\{/, { timeoutMs: WITHIN_MS })) as { ms: number; commit: number };
  report.figure('large.restore', 's', done.ms / 1000);
  told('restore', restoring);
  report.note(`a database of ${done.commit} pages`);
}

/** Resolves when the primary has merged the first image; it began as soon as that was stored. */
async function merged(connection: ConnectionSpec): Promise<void> {
  const env = systemEnv();
  await using session = await connectNats(connection, { name: 'bench', env });
  const log = new SegmentLog({ blobs: await session.blobs(BUCKET), clock: env.clock });
  const isMerged = async (): Promise<boolean> =>
    (await log.all()).some(({ level, minTxid }) => level === 1 && minTxid === 1);
  await eventually(isMerged, { timeoutMs: WITHIN_MS, what: 'the first image is merged' });
}

/** A small database that says of itself that it has so many pages; those that it has not written are zero. */
function makeSparse(path: string, pages: number): void {
  {
    using database = new DatabaseSync(path);
    database.exec(`PRAGMA page_size = ${PAGE_BYTES}; CREATE TABLE t (id INTEGER PRIMARY KEY, x)`);
  }
  const fd = openSync(path, 'r+');
  try {
    const head = Buffer.alloc(100);
    readSync(fd, head, 0, head.length, 0);
    head.writeUInt32BE(pages, SIZE_AT);
    writeSync(fd, head, 0, head.length, 0);
    ftruncateSync(fd, pages * PAGE_BYTES);
  } finally {
    closeSync(fd);
  }
}
