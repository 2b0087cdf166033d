/**
 * What writers notice of replication, and how fast a bulk gets into the log. Runs with and without replication take
 * turns, on the same disk.
 */
import type { Report } from '../../harness.ts';
import type { Pair } from './pair.ts';
import { runWriter, type WriterResult } from './programs.ts';

/** Baseline: the same program on a file that nobody replicates. */
export async function measureSmallWrites(
  pair: Pair,
  report: Report,
  { seconds, turns }: { readonly seconds: number; readonly turns: number },
): Promise<void> {
  const replicated: WriterResult[] = [];
  const plain: WriterResult[] = [];
  for (let turn = 0; turn < turns; turn++) {
    plain.push(await runWriter({ path: pair.plainPath('small'), seconds }));
    replicated.push(await runWriter({ path: pair.primaryPath, seconds }));
    await pair.settle();
  }
  const perSecond = (result: WriterResult): number => (result.transactions * 1000) / result.ms;
  report.figure('small_writes', 'tx/s', median(replicated, perSecond), median(plain, perSecond));
  for (const part of ['p50Ms', 'p99Ms'] as const) {
    const name = `small_write.${part.slice(0, 3)}`;
    report.figure(
      name,
      'ms',
      median(replicated, (r) => r[part]),
      median(plain, (r) => r[part]),
    );
  }
  const steady = { perSecond: 1000, seconds };
  const steadyPlain = await runWriter({ path: pair.plainPath('small'), ...steady });
  const steadyReplicated = await runWriter({ path: pair.primaryPath, ...steady });
  await pair.settle();
  report.figure('steady_1000_writes', 'tx/s', perSecond(steadyReplicated), perSecond(steadyPlain), {
    of: 'ratio',
    atLeast: 0.9,
  });
  report.figure('steady_1000_write.p50', 'ms', steadyReplicated.p50Ms, steadyPlain.p50Ms);
  report.figure('steady_1000_write.p99', 'ms', steadyReplicated.p99Ms, steadyPlain.p99Ms);
}

/**
 * `bulk_writes`: what the writer sees, against a file that nobody replicates. `shipped`: until the last byte is in the
 * log, against bare puts, one after the other, of objects of the same sizes. `applied`: until the standby has it, too.
 */
export async function measureBulk(
  pair: Pair,
  report: Report,
  { megabytes, turns }: { readonly megabytes: number; readonly turns: number },
): Promise<void> {
  const { clock } = pair.env;
  const blobs = await pair.bareBlobs();
  const rates = { plain: [], written: [], shipped: [], applied: [], bare: [] } as Record<Rate, number[]>;
  for (let turn = 0; turn < turns; turn++) {
    rates.plain.push(rate(await runWriter({ path: pair.plainPath('bulk'), megabytes })));
    const before = await pair.settle();
    const from = clock.monotonic();
    const written = await runWriter({ path: pair.primaryPath, megabytes });
    // The program's own start is not part of the bulk.
    const startedAt = Math.max(from, clock.monotonic() - written.ms);
    rates.written.push(rate(written));
    const position = await pair.primary.sync();
    const shippedMs = clock.monotonic() - startedAt;
    await pair.standby.waitFor(position, { signal: AbortSignal.timeout(120_000) });
    const appliedMs = clock.monotonic() - startedAt;

    const sizes = await pair.segmentSizes(before);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    rates.shipped.push(rate({ bytes, ms: shippedMs }));
    rates.applied.push(rate({ bytes, ms: appliedMs }));
    const objects = sizes.map((size) => new Uint8Array(size));
    const putFrom = clock.monotonic();
    for (const [i, object] of objects.entries()) await blobs.put(`bulk-${turn}-${i}`, object);
    rates.bare.push(rate({ bytes, ms: clock.monotonic() - putFrom }));
    for (const i of objects.keys()) await blobs.delete(`bulk-${turn}-${i}`);
    report.note(
      `${written.transactions} transactions went in ${sizes.length} segments of ${Math.round(bytes / 1e6)} MB`,
    );
  }
  const middle = (name: Rate): number => median(rates[name], (value) => value);
  report.figure('bulk_writes', 'MB/s', middle('written'), middle('plain'), { of: 'ratio', atLeast: 0.85 });
  report.figure('shipped', 'MB/s', middle('shipped'), middle('bare'), { of: 'ratio', atLeast: 0.6 });
  report.figure('applied', 'MB/s', middle('applied'), middle('bare'));
}

type Rate = 'plain' | 'written' | 'shipped' | 'applied' | 'bare';

function rate({ bytes, ms }: { readonly bytes: number; readonly ms: number }): number {
  return bytes / 1e6 / (ms / 1000);
}

export function median<T>(items: readonly T[], of: (item: T) => number): number {
  const values = items.map(of).sort((a, b) => a - b);
  return values[Math.floor((values.length - 1) / 2)] as number;
}
