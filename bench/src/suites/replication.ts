/**
 * Replication: the event log, a leader, followers and several masters beside bare JetStream and bare stores; then without a network clocks,
 * conflict resolution, values that merge beside the same operations in Yjs and Automerge, and stores in files beside bare SQLite.
 * Contenders of a figure run in turns, where one run is not long enough to speak for itself.
 */
import type { Suite } from '../harness.ts';
import { measureClocks } from './replication/clocks.ts';
import { measureFollower } from './replication/follower.ts';
import { measureLeader } from './replication/leader.ts';
import { measureLog } from './replication/log.ts';
import { measureHealing, measureLocalWrites } from './replication/masters.ts';
import { measureMerging } from './replication/merging.ts';
import { measureOperations } from './replication/operations.ts';
import { measureResolver } from './replication/resolver.ts';
import { measureStores } from './replication/stores.ts';

export const suite: Suite = async (report, { quick }) => {
  await measureLog(report, quick ? 200 : 3_000, quick ? 1_000 : 10_000);
  await measureLeader(report, quick ? 50 : 2_000, quick ? 200 : 2_000);
  await measureFollower(report, quick ? 2_000 : 50_000, quick ? 5_000 : 1_000_000);
  await measureLocalWrites(report, quick ? 100 : 3_000);
  await measureHealing(report, quick ? 1_000 : 100_000);
  measureClocks(report, quick ? 20_000 : 300_000);
  measureResolver(report, quick ? 20_000 : 300_000);
  measureOperations(report, quick ? 50 : 1_000);
  measureMerging(report, quick ? 100 : 10_000);
  await measureStores(report, quick ? 1_000 : 50_000, quick ? 10_000 : 1_000_000);
};
