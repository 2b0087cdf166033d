/**
 * What replication costs and how far behind it is: one primary and one standby with their real database processes, and
 * writers that are processes of their own, on nats-servers that flush every write as the product's do: once on one server
 * and once, with names that begin with `r3.`, on a cluster of three. The codec alone comes last, and Litestream beside us.
 */
import type { Report, Suite } from '../harness.ts';
import { measureCodec } from './wal/codec.ts';
import { measureHandover } from './wal/handover.ts';
import { measureLag, measureSustainedLag } from './wal/lag.ts';
import { measureBesideLitestream } from './wal/litestream.ts';
import { Pair } from './wal/pair.ts';
import { measureReplicatedCommits } from './wal/replicated-commits.ts';
import { measureRestore } from './wal/restore.ts';
import { measureBulk, measureSmallWrites } from './wal/writers.ts';

const RATES = [1000, 2000, 4000, 8000, 16_000, 32_000];

export const suite: Suite = async (report, { quick }) => {
  await measurePair(report, { servers: 1, quick });
  // The smoke run has shown all of it on one server.
  if (quick) await measureCluster(report);
  else await measurePair(named('r3.', report), { servers: 3, quick });
  measureCodec(report, quick ? 4 : 64);
  await measureBesideLitestream(report, { quick });
};

async function measurePair(
  report: Report,
  { servers, quick }: { readonly servers: 1 | 3; readonly quick: boolean },
): Promise<void> {
  await using pair = await Pair.start({ servers });
  await measureReplicatedCommits(pair, report, quick ? 20 : 500);
  await measureLag(pair, report, { perSecond: 200, seconds: quick ? 0.5 : 10 });
  await measureSustainedLag(pair, report, { rates: quick ? [1000] : RATES, seconds: quick ? 0.3 : 4 });
  await measureSmallWrites(pair, report, { seconds: quick ? 0.2 : 6, turns: quick ? 1 : 3 });
  await measureBulk(pair, report, { megabytes: quick ? 4 : 64, turns: quick ? 1 : 3 });
  await measureRestore(pair, report, quick ? 1 : 3);
  // Three copies of a gigabyte on one disk measure the disk.
  await measureHandover(pair, report, { megabytes: quick || servers === 3 ? 0 : 1000, rounds: quick ? 2 : 20 });
}

async function measureCluster(report: Report): Promise<void> {
  await using pair = await Pair.start({ servers: 3 });
  await measureReplicatedCommits(pair, named('r3.', report), 20);
}

function named(prefix: string, report: Report): Report {
  return { ...report, figure: (metric, ...rest) => report.figure(`${prefix}${metric}`, ...rest) };
}
