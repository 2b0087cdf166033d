/** Every example of the guide that concerns leader and followers, as written there, on a plain pipeline and on a log. */
import {
  type FollowerPipeline,
  LeaderFollowerManager,
  MemoryLog,
  ReadRouter,
  ReplicationRole,
  SessionConsistentClient,
  splitBrainReport,
} from '@canopy/replication';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryState } from './memory-state.ts';
import { Heart, PlainPipeline } from './plain-pipeline.ts';

interface Ground {
  readonly kind: string;
  /** Each node has its own way to what is one for all. */
  pipelines(): () => FollowerPipeline;
  /** The sequence of the first write: a log begins a term with a record of its own. */
  readonly first: number;
}

const GROUNDS: readonly Ground[] = [
  {
    kind: 'a plain pipeline',
    pipelines: () => {
      const pipeline = new PlainPipeline();
      return () => pipeline;
    },
    first: 1,
  },
  {
    kind: 'a log',
    pipelines: () => {
      const log = new MemoryLog('tenant-abc');
      return () => log.connect();
    },
    first: 2,
  },
];

describe.each(GROUNDS)('the guide, on $kind', ({ pipelines, first }) => {
  let pipeline: () => FollowerPipeline;
  let heartbeat: Heart;
  let printed: string[];
  const open: LeaderFollowerManager[] = [];
  const print = (line: string): void => void printed.push(line);

  beforeEach(() => {
    pipeline = pipelines();
    heartbeat = new Heart();
    printed = [];
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((manager) => manager.close()));
    LeaderFollowerManager.clearGlobalLocks();
  });

  const keep = (manager: LeaderFollowerManager): LeaderFollowerManager => {
    open.push(manager);
    return manager;
  };
  const newLeader = (): LeaderFollowerManager =>
    keep(
      new LeaderFollowerManager({
        nodeId: 'leader-1',
        role: ReplicationRole.Leader,
        pipeline: pipeline(),
        stateStore: new MemoryState(),
        namespace: 'tenant-abc',
        heartbeatService: heartbeat,
        heartbeatIntervalMs: 1000,
      }),
    );
  const newFollower = (nodeId = 'follower-1', more: { lastAppliedSequence?: number } = {}): LeaderFollowerManager =>
    keep(
      new LeaderFollowerManager({
        nodeId,
        role: ReplicationRole.Follower,
        pipeline: pipeline(),
        stateStore: new MemoryState(),
        namespace: 'tenant-abc',
        leaderId: 'leader-1',
        heartbeatService: heartbeat,
        maxStalenessMs: 30000,
        promotionEligible: true,
        // The guide promotes without asking anybody.
        allowUnprovenPromotion: true,
        ...more,
      }),
    );
  const started = async (manager: LeaderFollowerManager): Promise<LeaderFollowerManager> => {
    await manager.start();
    return manager;
  };
  const reached = (manager: LeaderFollowerManager, sequence: number): Promise<void> =>
    manager.waitForSequence(sequence, 10_000);

  it('starting the leader, starting followers', async () => {
    const leader = newLeader();
    await leader.start();
    const result = await leader.write({
      key: 'customer-123',
      value: { name: 'Alice', email: 'alice@example.com' },
      operation: 'create',
    });
    expect(result).toMatchObject({ success: true, sequence: first });

    const follower = newFollower();
    await follower.start();
    const value = await follower.read('customer-123');
    expect(value).toEqual({ name: 'Alice', email: 'alice@example.com' });
    expect(follower.isStale()).toBe(false);
  });

  it('write rejection on followers', async () => {
    await started(newLeader());
    const follower = await started(newFollower());
    const result = await follower.write({ key: 'customer-456', value: { name: 'Bob' }, operation: 'create' });
    expect(result.success).toBe(false);
    expect(result.error).toBe('Follower is read-only. Redirect to leader.');
    expect(result.errorCode).toBe('FOLLOWER_READ_ONLY');
    expect(result.leaderId).toBe('leader-1');
  });

  it('detecting leader failure, promoting a follower, demoting a leader', async () => {
    const leader = await started(newLeader());
    await leader.write({ key: 'customer-123', value: 1, operation: 'create' });
    const follower = await started(newFollower());
    const elected = Promise.withResolvers<void>();
    follower.on('leaderFailed', async ({ leaderId }) => {
      print(`Leader ${leaderId} has failed`);
      if (follower.canParticipateInElection()) await follower.promote();
      elected.resolve();
    });
    await leader.close();
    heartbeat.tell('leader-1', false);
    await elected.promise;
    expect(printed).toEqual(['Leader leader-1 has failed']);
    expect(follower.getNodeId()).toBe('follower-1');
    expect(follower.getRole()).toBe('leader');
    expect(follower.isLeaderHealthy()).toBe(true);
    const result = await follower.write({ key: 'customer-789', value: { name: 'Charlie' }, operation: 'create' });
    expect(result.success).toBe(true);
    await follower.demote();
    expect(follower.getRole()).toBe('follower');
  });

  it('read routing', async () => {
    const leader = await started(newLeader());
    const followers = [await started(newFollower('f1')), await started(newFollower('f2'))];
    const { sequence = 0 } = await leader.write({ key: 'k', value: 'v', operation: 'create' });
    await Promise.all(followers.map((follower) => reached(follower, sequence)));
    const router = new ReadRouter(leader, followers);
    const asked: string[] = [];
    for (const node of [leader, ...followers]) {
      const read = node.read.bind(node);
      vi.spyOn(node, 'read').mockImplementation((key, options) => {
        asked.push(node.getNodeId());
        return read(key, options);
      });
    }
    expect(await Promise.all([router.read('k'), router.read('k'), router.read('k')])).toEqual(['v', 'v', 'v']);
    expect(await router.read('k', { preferFresh: true })).toBe('v');
    expect(asked).toEqual(['f1', 'f2', 'f1', 'leader-1']);
    for (const follower of followers) vi.spyOn(follower, 'isStale').mockReturnValue(true);
    await router.read('k');
    expect(asked.at(-1)).toBe('leader-1');
  });

  it('tracking replication lag, monitoring it, adding and removing a follower', async () => {
    const leader = await started(newLeader());
    for (let i = 0; i < 5; i++) await leader.write({ key: `k${i}`, value: i, operation: 'create' });
    const newOne = newFollower('follower-new', { lastAppliedSequence: 0 });
    newOne.on('eventApplied', ({ sequence }) => print(`Caught up to sequence ${sequence}`));
    await newOne.start();
    expect(printed).toEqual([0, 1, 2, 3, 4].map((i) => `Caught up to sequence ${first + i}`));
    await leader.registerFollower('follower-new');
    await leader.reportFollowerProgress('follower-new', newOne.getAppliedSequence() - 2);

    const leaderState = leader.getLeaderState();
    const metrics = leader.getMetrics();
    expect([metrics.eventsEmitted, leaderState?.followerCount]).toEqual([5, 1]);
    for (const [followerId, info] of leaderState?.followers ?? []) {
      expect(leader.getFollowerLag(followerId)).toBe(2);
      expect((leaderState?.currentSequence ?? 0) - info.lastReportedSequence).toBe(2);
      expect(Math.abs(Date.now() - info.lastHeartbeat)).toBeLessThan(60_000);
    }
    const followerState = newOne.getFollowerState();
    expect(followerState).toMatchObject({ appliedSequence: first + 4, isStale: false });
    expect(newOne.getMetrics().eventsApplied).toBe(5);

    await leader.unregisterFollower('follower-new');
    await newOne.close();
    expect(leader.getConnectedFollowers()).toEqual([]);
  });

  it('recovering a follower', async () => {
    const leader = await started(newLeader());
    for (let i = 0; i < 4; i++) await leader.write({ key: `k${i}`, value: i, operation: 'create' });
    const recovered = newFollower('follower-recovered', { lastAppliedSequence: 0 });
    recovered.on('eventApplied', ({ sequence }) => {
      const leaderSeq = leader.getLeaderState()?.currentSequence || 0;
      print(((sequence / leaderSeq) * 100).toFixed(1));
    });
    await recovered.start();
    expect(printed.at(-1)).toBe('100.0');
    expect(recovered.getRecoveryProgress()).toMatchObject({ phase: 'none', percent: 100 });
  });

  it('a partition, split brain, and its resolution', async () => {
    const oldLeader = await started(newLeader());
    await oldLeader.write({ key: 'k', value: 1, operation: 'create' });
    const newLeaderNode = await started(newFollower());
    // In one process the guide's partition is one that the lock does not see.
    LeaderFollowerManager.clearGlobalLocks();
    await newLeaderNode.promote();
    const nodes = [oldLeader, newLeaderNode];
    const leaders = nodes.filter((node) => node.getRole() === 'leader');
    const report = splitBrainReport(nodes.map((node) => node.status()));
    expect(report.winner).toBe('follower-1');
    // On a log the old leader may have stepped down by itself already.
    expect([1, 2]).toContain(leaders.length);
    await newLeaderNode.write({ key: 'k', value: 2, operation: 'update' });
    const oldSeq = oldLeader.getLeaderState()?.currentSequence || 0;
    const newSeq = newLeaderNode.getLeaderState()?.currentSequence || 0;
    expect(newSeq).toBeGreaterThan(oldSeq);
    await oldLeader.demote();
    await reached(oldLeader, newSeq);
    expect(await oldLeader.read('k')).toBe(2);
    expect(nodes.filter((node) => node.getRole() === 'leader')).toEqual([newLeaderNode]);
  });

  it('strong consistency', async () => {
    const leader = await started(newLeader());
    const result = await leader.write({ key: 'account-balance', value: { balance: 1000 }, operation: 'update' });
    if (result.success) print(`Durably written at sequence ${result.sequence}`);
    expect(printed).toEqual([`Durably written at sequence ${first}`]);
    expect(await leader.read('account-balance')).toEqual({ balance: 1000 });
  });

  it('read-your-writes', async () => {
    const leader = await started(newLeader());
    const followers = [await started(newFollower('f1')), await started(newFollower('f2'))];
    const client = new SessionConsistentClient(leader, followers);
    for (let i = 0; i < 20; i++) {
      await client.write('k', i);
      expect(await client.read('k')).toBe(i);
    }
  });
});
