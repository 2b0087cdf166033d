/**
 * Elections in numbers: how a herd of candidates in one process takes one lease over, what hundreds of groups cost while
 * nothing happens, and the same moves of leadership beside etcd's leases.
 */
import type { Suite } from '../harness.ts';
import { ElectionRig } from './election/rig.ts';
import { measureAgainstEtcd } from './election-scale/beside-etcd.ts';
import { measureHerd } from './election-scale/herd.ts';
import { measureManyGroups } from './election-scale/many-groups.ts';

export const suite: Suite = async (report, { quick }) => {
  {
    await using rig = await ElectionRig.start();
    for (const size of quick ? [10] : [10, 100, 1000]) await measureHerd(rig, report, size, quick ? 1 : 3);
  }
  {
    await using rig = await ElectionRig.start();
    await measureManyGroups(rig, report, quick ? 20 : 500, quick ? 1000 : 20_000);
  }
  await using rig = await ElectionRig.start();
  await measureAgainstEtcd(rig, report, quick ? 1 : 10, { fetchEtcd: !quick });
};
