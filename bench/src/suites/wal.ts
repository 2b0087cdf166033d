/**
 * What replication costs and how far behind it is: one primary and one standby with their real database processes, and
 * writers that are processes of their own, on a nats-server that flushes every write as the product's does.
 */
import type { Suite } from '../harness.ts';
import { measureCodec } from './wal/codec.ts';
import { measureLag } from './wal/lag.ts';
import { Pair } from './wal/pair.ts';
import { measureReplicatedCommits } from './wal/replicated-commits.ts';
import { measureBulk, measureSmallWrites } from './wal/writers.ts';

export const suite: Suite = async (report, { quick }) => {
  await using pair = await Pair.start();
  await measureReplicatedCommits(pair, report, quick ? 20 : 1000);
  await measureLag(pair, report, { perSecond: 200, seconds: quick ? 1 : 10 });
  await measureSmallWrites(pair, report, { seconds: quick ? 1 : 8, turns: quick ? 1 : 3 });
  await measureBulk(pair, report, { megabytes: quick ? 4 : 64, turns: quick ? 1 : 3 });
  measureCodec(report, quick ? 4 : 64);
};
