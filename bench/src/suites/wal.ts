/**
 * What replication costs and how far behind it is: one primary and one standby with their real database processes, and
 * writers that are processes of their own, on nats-servers that flush every write as the product's do: once on one server
 * and once, with names that begin with `r3.`, on a cluster of three. The codec alone comes last, and Litestream beside us.
 */
import type { Suite } from '../harness.ts';
import { measureCodec } from './wal/codec.ts';
import { measureHandover } from './wal/handover.ts';
import { measureLag, measureSustainedLag } from './wal/lag.ts';
import { measureBesideLitestream } from './wal/litestream.ts';
import { Pair } from './wal/pair.ts';
import { measureReplicatedCommits } from './wal/replicated-commits.ts';
import { measureRestore } from './wal/restore.ts';
import { measureBulk, measureSmallWrites } from './wal/writers.ts';

export const suite: Suite = async (report, { quick }) => {
  for (const servers of [1, 3] as const) {
    const prefixed = servers === 1 ? report : { ...report, figure: named('r3.') };
    function named(prefix: string): typeof report.figure {
      return (metric, ...rest) => report.figure(`${prefix}${metric}`, ...rest);
    }
    await using pair = await Pair.start({ servers });
    await measureReplicatedCommits(pair, prefixed, quick ? 20 : 500);
    await measureLag(pair, prefixed, { perSecond: 200, seconds: quick ? 1 : 10 });
    await measureSustainedLag(pair, prefixed, {
      rates: quick ? [1000] : [1000, 2000, 4000, 8000, 16_000, 32_000],
      seconds: quick ? 0.5 : 4,
    });
    await measureSmallWrites(pair, prefixed, { seconds: quick ? 0.5 : 6, turns: quick ? 1 : 3 });
    await measureBulk(pair, prefixed, { megabytes: quick ? 4 : 64, turns: quick ? 1 : 3 });
    await measureRestore(pair, prefixed, quick ? 1 : 3);
    await measureHandover(pair, prefixed, {
      megabytes: quick ? 0 : servers === 1 ? 1000 : 0,
      rounds: quick ? 2 : 20,
    });
  }
  measureCodec(report, quick ? 4 : 64);
  await measureBesideLitestream(report, { quick });
};
