/**
 * How long after its commit on the primary a row can be read on the standby, under a steady rate of small transactions.
 * Baseline: the bare way of the same bytes at the same rate: an object put, seen by a watch, and read.
 */
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import type { Pair } from './pair.ts';
import { Reader, runWriter } from './programs.ts';

export interface LagOptions {
  readonly perSecond: number;
  readonly seconds: number;
}

export async function measureLag(pair: Pair, report: Report, { perSecond, seconds }: LagOptions): Promise<void> {
  await runWriter({ path: pair.primaryPath, perSecond: 10, seconds: 0.1 });
  const before = await pair.settle();
  const lags = new Samples();
  {
    await using reader = await Reader.start(pair.standbyPath);
    const { transactions, ms } = await runWriter({ path: pair.primaryPath, perSecond, seconds });
    await pair.settle();
    await pair.env.clock.sleep(50);
    for (const lag of await reader.lags()) lags.add(lag);
    report.note(
      `${Math.round((transactions * 1000) / ms)} transactions per second, ${lags.count} of ${transactions} seen`,
    );
  }
  const sizes = await pair.segmentSizes(before);
  const size = Math.round(sizes.reduce((sum, one) => sum + one, 0) / sizes.length);
  const bare = await bareWay(pair, size, { perSecond, seconds });
  report.figure('lag.p50', 'ms', lags.p50, bare.p50);
  report.figure('lag.p99', 'ms', lags.p99, bare.p99);
}

async function bareWay(pair: Pair, size: number, { perSecond, seconds }: LagOptions): Promise<Samples> {
  const { clock } = pair.env;
  const blobs = await pair.bareBlobs();
  const samples = new Samples();
  const begun = new Map<string, number>();
  const controller = new AbortController();
  const count = perSecond * seconds;
  const fetch = async (name: string): Promise<void> => {
    await blobs.read(name);
    samples.add(clock.monotonic() - (begun.get(name) as number));
    if (samples.count === count) controller.abort();
  };
  const watching = (async () => {
    for await (const event of blobs.watch('lag-', { signal: controller.signal }))
      if (event.type === 'put') void fetch(event.blob.name);
  })();
  const from = clock.monotonic();
  const puts: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) {
    const due = from + (i * 1000) / perSecond;
    if (due > clock.monotonic()) await clock.sleep(due - clock.monotonic());
    const name = `lag-${i}`;
    begun.set(name, clock.monotonic());
    puts.push(blobs.put(name, new Uint8Array(size)));
  }
  await Promise.all(puts);
  await Promise.race([watching, clock.sleep(10_000)]);
  controller.abort();
  await watching;
  return samples;
}
