/**
 * What a lease costs and how fast it moves, on a real nats-server that flushes every write as the product's does. Each
 * figure stands beside the bare KV operation it is made of, measured in turns with it.
 */
import type { Suite } from '../harness.ts';
import { measureAcquisition } from './election/acquisition.ts';
import { measureRenewal } from './election/lease-costs.ts';
import { measureExpiry, measureHandoff } from './election/moves.ts';
import { measureQuestions } from './election/questions.ts';
import { ElectionRig } from './election/rig.ts';
import { measureWarden } from './election/warden-failover.ts';

export const suite: Suite = async (report, { quick }) => {
  await using rig = await ElectionRig.start();
  await measureAcquisition(rig, report, quick ? 10 : 300);
  await measureRenewal(rig, report, quick ? 10 : 300);
  await measureHandoff(rig, report, quick ? 3 : 100);
  await measureExpiry(rig, report, quick ? 5 : 100);
  await measureQuestions(rig, report, quick ? 20_000 : 2_000_000);
  await measureWarden(rig, report, quick ? 5 : 100);
};
