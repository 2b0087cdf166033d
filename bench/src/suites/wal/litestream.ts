/**
 * The same workload through Litestream over the same nats-server, at its defaults and at the lowest intervals that it
 * takes. Every figure is ours, with Litestream's as the baseline. It has no standbys, so the lag is that of the log: from
 * a commit to the object that holds it.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Clock, seededRandom, systemEnv } from '@canopy/core';
import { type Blobs, connectNats } from '@canopy/nats';
import { Primary, restore } from '@canopy/sqlite';
import { eventually, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { findLitestream, Litestream } from './litestream-program.ts';
import { runWriter } from './programs.ts';

const INTERVALS = { default: undefined, lowest: '1ms' } as const;
/** Its default interval, at most, and some more. */
const STORED_MS = 10_000;

interface Course {
  readonly lag: Samples;
  /** Of a writer as fast as it goes. */
  readonly perSecond: number;
  /** In the bucket, for each transaction of a steady second. */
  readonly bytesPerTx: number;
  readonly restoreMs: number;
}

interface Workload {
  readonly samples: number;
  readonly seconds: number;
  /** Until what starting has left to do is done. */
  readonly settleMs: number;
  /** Nothing more is to come of a bucket that has not changed for so long: longer than anybody's interval. */
  readonly quietMs: number;
  /** Between two samples, at most. */
  readonly pauseMs: number;
  readonly clock: Clock;
}

export async function measureBesideLitestream(report: Report, { quick }: { readonly quick: boolean }): Promise<void> {
  const found = await findLitestream(!quick);
  if ('reason' in found) return report.note(`beside Litestream: skipped: ${found.reason}`);
  const env = systemEnv();
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory('bench-litestream'));
  const nats = stack.use(await testNatsServer({ syncAlways: true }));
  const session = stack.use(await connectNats(nats.connection, { name: 'bench', env }));
  const work: Workload = {
    samples: quick ? 3 : 50,
    seconds: quick ? 0.5 : 5,
    settleMs: quick ? 500 : 3000,
    quietMs: quick ? 200 : 1500,
    pauseMs: quick ? 100 : 1200,
    clock: env.clock,
  };

  const plain = await runWriter({ path: join(directory, 'plain.db'), seconds: work.seconds });
  const ours = await oursWith(await session.ensureBlobs('ours'), join(directory, 'ours.db'), `${nats.url}/ours`, work);
  report.note(`unreplicated: ${Math.round((plain.transactions * 1000) / plain.ms)} tx/s as fast as it goes`);
  for (const [name, interval] of Object.entries(INTERVALS)) {
    if (quick && interval === undefined) continue;
    const blobs = await session.ensureBlobs(`theirs-${name}`);
    const path = join(directory, `${name}.db`);
    const place = { binary: found.path, directory, path, url: `${nats.url}/theirs-${name}`, interval };
    const theirs = await theirsWith(blobs, place, work);
    const figure = (metric: string, unit: string, of: (course: Course) => number): void =>
      report.figure(`beside_litestream_${name}.${metric}`, unit, of(ours), of(theirs));
    figure('stored.p50', 'ms', ({ lag }) => lag.p50);
    figure('stored.p99', 'ms', ({ lag }) => lag.p99);
    figure('small_writes', 'tx/s', ({ perSecond }) => perSecond);
    figure('stored_bytes', 'B/tx', ({ bytesPerTx }) => bytesPerTx);
    figure('restore', 'ms', ({ restoreMs }) => restoreMs);
  }
}

async function oursWith(blobs: Blobs, path: string, store: string, work: Workload): Promise<Course> {
  await runWriter({ path, perSecond: 10, seconds: 0.1 });
  const primary = new Primary({ db: path, store });
  await primary.start();
  try {
    const dest = `${path}.restored`;
    return await course(blobs, path, work, async () => {
      await primary.sync();
      const { ms } = await restore({ store, dest });
      rmSync(dest);
      return ms;
    });
  } finally {
    await primary.stop();
  }
}

async function theirsWith(
  blobs: Blobs,
  place: ConstructorParameters<typeof Litestream>[0],
  work: Workload,
): Promise<Course> {
  await runWriter({ path: place.path, perSecond: 10, seconds: 0.1 });
  await using litestream = new Litestream(place);
  await eventually(async () => (await blobs.list('')).length > 0, { timeoutMs: 30_000, what: 'its first object' });
  const dest = `${place.path}.restored`;
  return await course(blobs, place.path, work, async () => {
    // Everything has arrived when nothing more does.
    await quiet(blobs, work);
    const from = work.clock.monotonic();
    await litestream.restore(dest);
    rmSync(dest);
    return work.clock.monotonic() - from;
  });
}

async function course(blobs: Blobs, path: string, work: Workload, restored: () => Promise<number>): Promise<Course> {
  const { seconds } = work;
  const lag = await lags(blobs, path, work);
  const before = (await blobs.bucketInfo()).bytes;
  const steady = await runWriter({ path, perSecond: 200, seconds });
  await quiet(blobs, work);
  const bytesPerTx = ((await blobs.bucketInfo()).bytes - before) / steady.transactions;
  const { transactions, ms } = await runWriter({ path, seconds });
  return { lag, perSecond: (transactions * 1000) / ms, bytesPerTx, restoreMs: await restored() };
}

/** Single commits at moments that have nothing to do with anybody's interval. */
async function lags(blobs: Blobs, path: string, { samples, settleMs, pauseMs, clock }: Workload): Promise<Samples> {
  const found = new Samples();
  const random = seededRandom('moments');
  const controller = new AbortController();
  let arrived: () => void = () => {};
  const isLevel0 = (name: string): boolean => /(^|\/)ltx\/0\//.test(name);
  const watching = (async () => {
    let synced = false;
    for await (const event of blobs.watch('', { signal: controller.signal })) {
      if (event.type === 'synced') synced = true;
      if (event.type === 'put' && synced && isLevel0(event.blob.name)) arrived();
    }
  })();
  using database = new DatabaseSync(path, { timeout: 10_000 });
  database.exec('PRAGMA synchronous = NORMAL; CREATE TABLE IF NOT EXISTS moments (id INTEGER PRIMARY KEY, data)');
  const insert = database.prepare('INSERT INTO moments (data) VALUES (?)');
  await clock.sleep(settleMs);
  for (let i = 0; i < samples; i++) {
    await clock.sleep(pauseMs / 6 + random.int(pauseMs));
    const { promise, resolve } = Promise.withResolvers<void>();
    arrived = resolve;
    insert.run(random.int(1e9));
    const from = clock.monotonic();
    await Promise.race([promise, clock.sleep(STORED_MS)]);
    found.add(clock.monotonic() - from);
  }
  controller.abort();
  await watching;
  return found;
}

/** Until the bucket has not changed for a while. */
async function quiet(blobs: Blobs, { clock, quietMs }: Workload): Promise<void> {
  let last = -1;
  for (let i = 0; i < 20; i++) {
    const { bytes } = await blobs.bucketInfo();
    if (bytes === last) return;
    last = bytes;
    await clock.sleep(quietMs);
  }
}
