/**
 * Replication: the event log beside bare JetStream; then without a network clocks, conflict resolution, values that merge beside the same
 * operations in Yjs and Automerge, and stores in files beside bare SQLite. All contenders of a figure run in turns.
 */
import type { Suite } from '../harness.ts';
import { measureClocks } from './replication/clocks.ts';
import { measureLog } from './replication/log.ts';
import { measureMerging } from './replication/merging.ts';
import { measureOperations } from './replication/operations.ts';
import { measureResolver } from './replication/resolver.ts';
import { measureStores } from './replication/stores.ts';

export const suite: Suite = async (report, { quick }) => {
  await measureLog(report, quick ? 200 : 3_000, quick ? 1_000 : 10_000);
  measureClocks(report, quick ? 20_000 : 300_000);
  measureResolver(report, quick ? 20_000 : 300_000);
  measureOperations(report, quick ? 50 : 1_000);
  measureMerging(report, quick ? 100 : 10_000);
  await measureStores(report, quick ? 1_000 : 50_000, quick ? 10_000 : 1_000_000);
};
