/**
 * How long after its commit on the primary a row can be read on the standby, under a steady rate of small transactions.
 * Baseline: the bare way of the same bytes at the same rate: an object put, seen by a watch, and read.
 */
import { type Report, round } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import type { Pair } from './pair.ts';
import { Reader, runWriter } from './programs.ts';

export interface LagOptions {
  readonly perSecond: number;
  readonly seconds: number;
}

export async function measureLag(pair: Pair, report: Report, options: LagOptions): Promise<void> {
  const { lags, written, size } = await lagsAt(pair, options);
  report.note(`${Math.round(written.perSecond)} transactions per second, ${lags.count} of ${written.count} seen`);
  const bare = await bareWay(pair, size, options);
  report.figure('lag.p50', 'ms', lags.p50, bare.p50, { of: 'value', atMost: 5 });
  report.figure('lag.p99', 'ms', lags.p99, bare.p99, { of: 'value', atMost: 25 });
}

/** What counts as sustained: a lag that does not grow, from a writer that gets its rate. */
const SUSTAINED_MS = 250;
const KEPT = 0.95;

/**
 * The highest of the rates at which the standby keeps up, and its lag there. Baseline of the rate: what the same writer
 * reaches on a file that nobody replicates.
 */
export async function measureSustainedLag(
  pair: Pair,
  report: Report,
  { rates, seconds }: { readonly rates: readonly number[]; readonly seconds: number },
): Promise<void> {
  const plain = await runWriter({ path: pair.plainPath('sustained'), seconds });
  let best: { rate: number; lags: Samples } | undefined;
  for (const perSecond of rates) {
    const { lags, written } = await lagsAt(pair, { perSecond, seconds });
    const keptUp = lags.p99 <= SUSTAINED_MS && written.perSecond >= perSecond * KEPT;
    report.note(
      `at ${perSecond} tx/s: ${Math.round(written.perSecond)} written, lag ${round(lags.p50)} / ${round(lags.p99)} ms`,
    );
    if (keptUp || best === undefined) best = { rate: written.perSecond, lags };
    if (!keptUp) break;
  }
  if (best === undefined) return;
  report.figure('sustained_rate', 'tx/s', best.rate, (plain.transactions * 1000) / plain.ms);
  report.figure('sustained_lag.p50', 'ms', best.lags.p50);
  report.figure('sustained_lag.p99', 'ms', best.lags.p99, undefined, { of: 'value', atMost: SUSTAINED_MS });
}

interface Lags {
  readonly lags: Samples;
  readonly written: { readonly count: number; readonly perSecond: number };
  /** Bytes of a segment, the mean. */
  readonly size: number;
}

async function lagsAt(pair: Pair, { perSecond, seconds }: LagOptions): Promise<Lags> {
  await runWriter({ path: pair.primaryPath, perSecond: 10, seconds: 0.1 });
  const before = await pair.settle();
  const lags = new Samples();
  await using reader = await Reader.start(pair.standbyPath);
  const { transactions, ms } = await runWriter({ path: pair.primaryPath, perSecond, seconds });
  await pair.settle();
  await pair.env.clock.sleep(50);
  for (const lag of await reader.lags()) lags.add(lag);
  const sizes = await pair.segmentSizes(before);
  const size = Math.round(sizes.reduce((sum, one) => sum + one, 0) / sizes.length);
  return { lags, written: { count: transactions, perSecond: (transactions * 1000) / ms }, size };
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
