/** The manager on what a caller brings: a plain pipeline, a plain store, and real timers that the tests move. */
import {
  type LeaderFollowerConfig,
  LeaderFollowerManager,
  type ManagerEvents,
  ReplicationRole,
  splitBrainReport,
} from '@canopy/replication';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryState } from './memory-state.ts';
import { Heart, MapStore, PlainPipeline } from './plain-pipeline.ts';

let pipeline: PlainPipeline;
const open: LeaderFollowerManager[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  pipeline = new PlainPipeline();
});
afterEach(async () => {
  for (const manager of open.splice(0)) await manager.close();
  LeaderFollowerManager.clearGlobalLocks();
  vi.useRealTimers();
});

function node(nodeId: string, role: ReplicationRole, more: Partial<LeaderFollowerConfig> = {}): LeaderFollowerManager {
  const base = { nodeId, role, pipeline, stateStore: new MapStore(), namespace: 'tenant' };
  const manager = new LeaderFollowerManager({ ...base, ...more });
  open.push(manager);
  return manager;
}
const leaderNode = (more: Partial<LeaderFollowerConfig> = {}, id = 'leader-1'): LeaderFollowerManager =>
  node(id, ReplicationRole.Leader, more);
const followerNode = (more: Partial<LeaderFollowerConfig> = {}, id = 'follower-1'): LeaderFollowerManager =>
  node(id, ReplicationRole.Follower, { leaderId: 'leader-1', ...more });

const put = (manager: LeaderFollowerManager, key: string, value: unknown = { v: key }) =>
  manager.write({ key, value, operation: 'create' });

const event = (sequence: number, more: object = {}): object => ({
  type: 'replication.write',
  namespace: 'tenant',
  key: `k${sequence}`,
  value: sequence,
  operation: 'create',
  sequence,
  sourceNode: 'leader-1',
  timestamp: Date.now(),
  ...more,
});

function heard<E extends keyof ManagerEvents>(manager: LeaderFollowerManager, name: E): ManagerEvents[E][] {
  const all: ManagerEvents[E][] = [];
  manager.on(name, (payload) => all.push(payload));
  return all;
}
const agrees = async (): Promise<boolean> => true;

describe('a leader', () => {
  it('counts from 1 for every operation, changes its store first, and sends batches of one', async () => {
    const leader = leaderNode();
    const written = heard(leader, 'write');
    expect(await put(leader, 'a')).toMatchObject({ success: true, sequence: 1 });
    expect(await leader.write({ key: 'a', value: 2, operation: 'update' })).toMatchObject({ sequence: 2 });
    expect(await leader.write({ key: 'a', value: 'old', operation: 'delete' })).toMatchObject({ sequence: 3 });
    expect(await leader.read('a')).toBeNull();
    expect(pipeline.sent.map((batch) => batch.length)).toEqual([1, 1, 1]);
    expect(pipeline.events[2]).toMatchObject({
      type: 'replication.write',
      value: 'old',
      sequence: 3,
      sourceNode: 'leader-1',
    });
    expect(written.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(leader.getMetrics()).toEqual({ role: 'leader', eventsEmitted: 3, eventsApplied: 0, nodeId: 'leader-1' });
  });

  it('has the defaults of the guide, frozen', () => {
    const { config } = leaderNode();
    expect(config).toEqual({
      nodeId: 'leader-1',
      role: 'leader',
      namespace: 'tenant',
      heartbeatIntervalMs: 1000,
      heartbeatTimeoutMs: 5000,
      maxStalenessMs: 30_000,
      promotionEligible: true,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('beats after each interval', async () => {
    const heart = new Heart();
    const leader = leaderNode({ heartbeatService: heart });
    await leader.start();
    await leader.start();
    expect(heart.beats).toEqual([]);
    await vi.advanceTimersByTimeAsync(3500);
    expect(heart.beats).toEqual(['leader-1', 'leader-1', 'leader-1']);
    await leader.close();
    await vi.advanceTimersByTimeAsync(3500);
    expect(heart.beats.length).toBe(3);
  });

  it('says that a write was not taken, keeps its number, and sends it again before anything later', async () => {
    const leader = leaderNode();
    const follower = followerNode();
    await follower.start();
    pipeline.failing = 1;
    expect(await put(leader, 'a')).toMatchObject({
      success: false,
      errorCode: 'REPLICATION_FAILED',
      sequence: 1,
      unknown: true,
    });
    expect(follower.getAppliedSequence()).toBe(0);
    expect(await put(leader, 'b')).toMatchObject({ success: true, sequence: 2 });
    expect(pipeline.events.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(follower.getAppliedSequence()).toBe(2);
    pipeline.failing = 1;
    await put(leader, 'c');
    await vi.advanceTimersByTimeAsync(1100);
    expect(await follower.read('c')).toEqual({ v: 'c' });
  });

  it('knows its followers by what they report', async () => {
    const leader = leaderNode();
    await leader.registerFollower('f1');
    await put(leader, 'a');
    await put(leader, 'b');
    await leader.reportFollowerProgress('f1', 1);
    await leader.reportFollowerProgress('nobody', 1);
    expect([leader.getFollowerLag('f1'), leader.getFollowerLag('nobody')]).toEqual([1, -1]);
    const state = leader.getLeaderState();
    expect(state).toMatchObject({ role: 'leader', currentSequence: 2, followerCount: 1, epoch: 1, fencingToken: 1 });
    expect(state?.followers.get('f1')).toMatchObject({ nodeId: 'f1', lastReportedSequence: 1 });
    await leader.unregisterFollower('f1');
    expect(leader.getConnectedFollowers()).toEqual([]);
    expect(leader.getFollowerState()).toBeNull();
    const follower = followerNode();
    await follower.registerFollower('x');
    expect(follower.getConnectedFollowers()).toEqual([]);
  });

  it('answers `followers:n` by reports, and tells who has a write that too few reported', async () => {
    const leader = leaderNode();
    await leader.registerFollower('f1');
    const write = leader.write({ key: 'a', value: 1, operation: 'create' }, { ack: 'followers:1' });
    await vi.advanceTimersByTimeAsync(10);
    await leader.reportFollowerProgress('f1', 1);
    expect(await write).toMatchObject({ success: true, sequence: 1 });
    const late = leader.write({ key: 'b', value: 1, operation: 'create' }, { ack: 'followers:2', timeoutMs: 500 });
    await vi.advanceTimersByTimeAsync(600);
    expect(await late).toMatchObject({ success: false, errorCode: 'ACK_INCOMPLETE', sequence: 2 });
  });

  it('refuses requests that are none, and writes after close; reads go on', async () => {
    const leader = leaderNode();
    expect(await leader.write({ key: '', operation: 'create' })).toMatchObject({ errorCode: 'EVENT_INVALID' });
    expect(await leader.write({ key: 'a', operation: 'merge' as 'create' })).toMatchObject({ success: false });
    await put(leader, 'a');
    await leader.close();
    await leader.close();
    expect(await put(leader, 'b')).toMatchObject({ success: false, errorCode: 'MANAGER_CLOSED' });
    expect(await leader.read('a')).toEqual({ v: 'a' });
    expect([leader.isClosed(), leader.canParticipateInElection()]).toEqual([true, false]);
  });

  it('is not stopped by a listener that throws, or rejects', async () => {
    const leader = leaderNode();
    leader.on('write', () => {
      throw new Error('mine');
    });
    leader.on('write', async () => {
      throw new Error('mine too');
    });
    const written = heard(leader, 'write');
    expect(await put(leader, 'a')).toMatchObject({ success: true });
    expect(written.length).toBe(1);
  });
});

describe('a follower', () => {
  it('catches up from its position, then follows; refuses writes with the leader to go to', async () => {
    for (let i = 1; i <= 5; i++) pipeline.events.push(event(i) as Record<string, unknown>);
    const follower = followerNode({ lastAppliedSequence: 2 });
    const recovered = heard(follower, 'recoveryComplete');
    const applied = heard(follower, 'eventApplied');
    await follower.start();
    expect(pipeline.askedFrom).toEqual([2]);
    expect(applied.map(({ sequence }) => sequence)).toEqual([3, 4, 5]);
    expect(recovered).toMatchObject([{ eventsRecovered: 3 }]);
    expect(await follower.read('k1')).toBeNull();
    const refused = await put(follower, 'x');
    expect(refused).toEqual({
      success: false,
      error: 'Follower is read-only. Redirect to leader.',
      errorCode: 'FOLLOWER_READ_ONLY',
      leaderId: 'leader-1',
    });
    expect(follower.getFollowerState()).toMatchObject({ role: 'follower', appliedSequence: 5, leaderId: 'leader-1' });
  });

  it('applies in order what comes in any order, once, of its namespace only', async () => {
    const follower = followerNode();
    const applied = heard(follower, 'eventApplied');
    await follower.start();
    for (const sequence of [3, 2, 2]) pipeline.deliver(event(sequence));
    pipeline.deliver(event(1, { namespace: 'another' }));
    pipeline.deliver('noise');
    expect(applied).toEqual([]);
    pipeline.deliver(event(1));
    pipeline.deliver(event(2, { value: 'again' }));
    expect(applied.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(await follower.read('k2')).toBe(2);
  });

  it('tells of a gap, and asks for it', async () => {
    const follower = followerNode();
    const gaps = heard(follower, 'gap');
    await follower.start();
    pipeline.events.push(event(1) as Record<string, unknown>, event(2) as Record<string, unknown>);
    pipeline.deliver(event(3));
    expect(follower.getReplicationLag()).toBe(3);
    await vi.advanceTimersByTimeAsync(1100);
    expect(gaps).toEqual([{ from: 1, to: 2, reason: 'missing' }]);
    expect(follower.getAppliedSequence()).toBe(3);
  });

  it('holds no more than it may, and gets the rest from the log', async () => {
    const follower = followerNode({ reorderBufferSize: 2 });
    const gaps = heard(follower, 'gap');
    await follower.start();
    for (const sequence of [5, 4, 3, 2]) pipeline.deliver(event(sequence));
    expect(gaps.length).toBe(1);
    for (let i = 1; i <= 5; i++) pipeline.events.push(event(i) as Record<string, unknown>);
    await vi.advanceTimersByTimeAsync(1100);
    expect(follower.getAppliedSequence()).toBe(5);
  });

  it('is stale when nothing was applied for longer than allowed', async () => {
    const follower = followerNode();
    await follower.start();
    pipeline.deliver(event(1));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(follower.isStale()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect([follower.isStale(), follower.getFollowerState()?.isStale]).toEqual([true, true]);
    pipeline.deliver(event(2));
    expect(follower.isStale()).toBe(false);
  });

  it('is stale, and may take the lock, when only the wall clock went on; not when it went back', async () => {
    const leader = leaderNode();
    await leader.start();
    const follower = followerNode({ quorumCallback: agrees });
    await follower.start();
    await put(leader, 'a');
    vi.setSystemTime(Date.now() - 60_000);
    expect(follower.isStale()).toBe(false);
    await expect(follower.promote()).rejects.toMatchObject({ code: 'LEADER_LOCK_HELD' });
    vi.setSystemTime(Date.now() + 60_000 + 31_000);
    expect(follower.isStale()).toBe(true);
    await follower.promote();
    expect(await put(leader, 'b')).toMatchObject({ errorCode: 'STALE_LEADER', leaderId: 'follower-1' });
  });

  it('hears of a failed leader, and reads go on', async () => {
    const heart = new Heart();
    const follower = followerNode({ heartbeatService: heart });
    const failed = heard(follower, 'leaderFailed');
    await follower.start();
    pipeline.deliver(event(1));
    expect(follower.isLeaderHealthy()).toBe(true);
    heart.tell('another', false);
    heart.tell('leader-1', false);
    expect([failed, follower.isLeaderHealthy()]).toEqual([[{ leaderId: 'leader-1' }], false]);
    expect(await follower.read('k1')).toBe(1);
  });

  it('is redirected by a change of the leader, and drops what a deposed one sends', async () => {
    const follower = followerNode();
    const errors = heard(follower, 'error');
    await follower.start();
    pipeline.deliver({
      type: 'replication.leader_changed',
      namespace: 'tenant',
      newLeaderId: 'n2',
      previousLeaderId: 'leader-1',
      epoch: 5,
    });
    expect(follower.getLeaderId()).toBe('n2');
    pipeline.deliver(event(1, { epoch: 4 }));
    expect(await follower.read('k1')).toBeNull();
    expect(errors).toMatchObject([{ error: { code: 'REPLICA_STALE_EVENT' } }]);
    pipeline.deliver(event(1, { epoch: 5, sourceNode: 'n2' }));
    expect(await follower.read('k1')).toBe(1);
  });

  it('waits for a sequence', async () => {
    const follower = followerNode();
    await follower.start();
    const waits = follower.waitForSequence(2, 1000);
    pipeline.deliver(event(1));
    pipeline.deliver(event(2));
    await waits;
    const late = expect(follower.waitForSequence(3, 1000)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await vi.advanceTimersByTimeAsync(1100);
    await late;
    const closed = expect(follower.waitForSequence(3, 1000)).rejects.toMatchObject({ code: 'REPLICA_CLOSED' });
    await follower.close();
    await closed;
  });

  it('keeps its position in a store that can, and resumes from there', async () => {
    const stateStore = new MemoryState();
    const first = followerNode({ stateStore });
    await first.start();
    for (let i = 1; i <= 3; i++) {
      await pipeline.send([event(i, { epoch: 2 })]);
    }
    await first.close();
    expect(stateStore.position()).toEqual({ sequence: 3, epoch: 2 });
    await pipeline.send([event(4, { epoch: 2, operation: 'delete', key: 'k1' })]);
    const second = followerNode({ stateStore });
    const applied = heard(second, 'eventApplied');
    await second.start();
    expect([applied.map(({ sequence }) => sequence), await second.read('k1')]).toEqual([[4], null]);
    await second.close();
    const leader = leaderNode({ stateStore });
    expect(await put(leader, 'x')).toMatchObject({ sequence: 5 });
  });

  it('starts on a pipeline that only takes events', async () => {
    const follower = followerNode({ pipeline: { send: async () => {} } });
    await follower.start();
    expect([follower.getReplicationLag(), follower.getAppliedSequence()]).toEqual([0, 0]);
  });
});

describe('promotion and demotion', () => {
  it('wants eligibility, then a quorum, then the lock', async () => {
    await expect(followerNode({ promotionEligible: false }).promote()).rejects.toMatchObject({
      code: 'PROMOTION_REFUSED',
      message: expect.stringMatching(/not eligible/),
    });
    await expect(followerNode().promote()).rejects.toMatchObject({
      code: 'NO_QUORUM',
      message: expect.stringMatching(/quorum/),
    });
    await expect(followerNode({ quorumCallback: async () => false }).promote()).rejects.toMatchObject({
      code: 'NO_QUORUM',
    });
    const leader = leaderNode();
    await leader.start();
    const follower = followerNode({ quorumCallback: agrees });
    await expect(follower.promote()).rejects.toThrow(/election failed.*lock.*held/);
    expect([follower.getRole(), await follower.canAchieveQuorum()]).toEqual(['follower', true]);
    expect(await followerNode().canAchieveQuorum()).toBe(false);
  });

  it('makes a leader that goes on counting, tells it, and is undone by demotion', async () => {
    const follower = followerNode({ quorumCallback: agrees });
    const promoted = heard(follower, 'promoted');
    const changed = heard(follower, 'roleChanged');
    const demoted = heard(follower, 'demoted');
    await follower.start();
    pipeline.deliver(event(1));
    await follower.promote();
    expect(promoted).toEqual([{ previousRole: 'follower', newRole: 'leader', epoch: 1 }]);
    expect(pipeline.sent).toMatchObject([
      [{ type: 'replication.leader_changed', newLeaderId: 'follower-1', previousLeaderId: 'leader-1' }],
    ]);
    expect(await put(follower, 'x')).toMatchObject({ success: true, sequence: 2 });
    expect([follower.hasLeaderLock(), follower.getEpoch(), follower.isStale()]).toEqual([true, 1, false]);
    pipeline.sent.length = 0;
    await follower.demote();
    expect(pipeline.sent).toEqual([]);
    expect([follower.getRole(), follower.hasLeaderLock()]).toEqual(['follower', false]);
    expect(await put(follower, 'y')).toMatchObject({ errorCode: 'FOLLOWER_READ_ONLY' });
    expect([changed.length, demoted]).toEqual([2, [{ reason: 'requested', epoch: 1 }]]);
    pipeline.deliver(event(3, { epoch: 2 }));
    expect(follower.getAppliedSequence()).toBe(3);
    await follower.promote();
    expect([follower.getEpoch(), (await put(follower, 'z')).sequence]).toEqual([3, 4]);
  });

  it('a demoted leader says that it is not the leader', async () => {
    const leader = leaderNode();
    await leader.start();
    await put(leader, 'a');
    await leader.demote();
    expect(await put(leader, 'b')).toMatchObject({
      errorCode: 'NOT_LEADER',
      error: expect.stringMatching(/not.*leader/i),
    });
    expect(leader.getFollowerState()?.appliedSequence).toBe(1);
  });

  it('takes over what waits behind a gap only after the log was read, and tells what is lost', async () => {
    const follower = followerNode({ quorumCallback: agrees });
    const gaps = heard(follower, 'gap');
    await follower.start();
    pipeline.deliver(event(10));
    await follower.promote();
    expect(gaps).toEqual([{ from: 1, to: 9, reason: 'lost' }]);
    expect(await put(follower, 'x')).toMatchObject({ sequence: 11 });
    expect(await follower.read('k10')).toBe(10);
  });

  it('reads what is missing when the log has it', async () => {
    const follower = followerNode({ quorumCallback: agrees });
    const gaps = heard(follower, 'gap');
    await follower.start();
    pipeline.deliver(event(3));
    for (const sequence of [1, 2]) pipeline.events.push(event(sequence) as Record<string, unknown>);
    await follower.promote();
    expect(gaps).toEqual([]);
    expect((await put(follower, 'x')).sequence).toBe(4);
    expect(await follower.read('k1')).toBe(1);
  });

  it('lets one of three win, with a greater epoch each time', async () => {
    const nodes = ['a', 'b', 'c'].map((id) => followerNode({ quorumCallback: agrees }, id));
    const epochs: number[] = [];
    for (let round = 0; round < 3; round++) {
      const results = await Promise.allSettled(nodes.map((one) => one.promote()));
      expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(1);
      const winner = nodes.find((one) => one.getRole() === 'leader') as LeaderFollowerManager;
      epochs.push(winner.getEpoch());
      await winner.demote();
    }
    expect(epochs).toEqual([1, 2, 3]);
  });

  it('refuses the writes of a leader whose lock was taken after its time', async () => {
    const leader = leaderNode();
    await leader.start();
    const follower = followerNode({ quorumCallback: agrees });
    await follower.start();
    await vi.advanceTimersByTimeAsync(29_000);
    await put(leader, 'a');
    await vi.advanceTimersByTimeAsync(29_000);
    await expect(follower.promote()).rejects.toMatchObject({ code: 'LEADER_LOCK_HELD' });
    await vi.advanceTimersByTimeAsync(2000);
    await follower.promote();
    expect(await put(leader, 'b')).toMatchObject({ success: false, errorCode: 'STALE_LEADER', leaderId: 'follower-1' });
    expect([leader.hasLeaderLock(), leader.getRole()]).toEqual([false, 'leader']);
    expect(await put(leader, 'c')).toMatchObject({ errorCode: 'NOT_LEADER', leaderId: 'leader-1' });
    expect(splitBrainReport([leader.status(), follower.status()])).toMatchObject({
      splitBrain: true,
      winner: 'follower-1',
    });
    expect(await leader.reconcileWithPeer('follower-1')).toEqual({ resolved: true, winner: 'follower-1' });
    expect(leader.getRole()).toBe('follower');
  });

  it('a second constructed leader may start, and writes nothing', async () => {
    const [first, second] = [leaderNode(), leaderNode({}, 'leader-2')];
    await first.start();
    await second.start();
    expect(second.getRole()).toBe('leader');
    expect(await put(second, 'x')).toMatchObject({ success: false, errorCode: 'STALE_LEADER', leaderId: 'leader-1' });
    expect(await second.detectNewLeader()).toBe(true);
    expect(LeaderFollowerManager.getGlobalLockState('tenant')).toMatchObject({ holder: 'leader-1', epoch: 1 });
    await first.close();
    expect(LeaderFollowerManager.getGlobalLockState('tenant')?.holder).toBeUndefined();
  });

  it('asks a lock service when it takes the lead, before writes, and gives the lock back', async () => {
    let holder: string | null = null;
    const distributedLock = {
      tryAcquireLock: async (id: string) => {
        if (holder !== null && holder !== id) return null;
        holder = id;
        return 7;
      },
      releaseLock: async (id: string) => {
        if (holder !== id) return false;
        holder = null;
        return true;
      },
      getCurrentHolder: () => holder,
      getFencingToken: () => 7,
    };
    const leader = leaderNode({ distributedLock });
    const other = followerNode({ distributedLock });
    await leader.start();
    expect(leader.getFencingToken()).toBe(7);
    expect(await put(leader, 'a')).toMatchObject({ success: true });
    await expect(other.promote()).rejects.toMatchObject({ code: 'LEADER_LOCK_HELD' });
    holder = 'somebody';
    expect(await put(leader, 'b')).toMatchObject({ errorCode: 'STALE_LEADER', leaderId: 'somebody' });
    holder = 'leader-1';
    await leader.demote();
    expect(holder).toBeNull();
    await other.promote();
    expect(await put(other, 'c')).toMatchObject({ success: true });
    const third = leaderNode({ distributedLock }, 'leader-3');
    await third.start();
    expect(await put(third, 'd')).toMatchObject({ success: false, errorCode: 'NOT_LEADER' });
  });

  it('tells of writes that never got out when it is demoted', async () => {
    const leader = leaderNode();
    const errors = heard(leader, 'error');
    await leader.start();
    pipeline.failing = 100;
    await put(leader, 'a');
    await leader.demote();
    expect(errors).toMatchObject([{ error: { code: 'REPLICA_DIVERGED', fields: { count: 1 } } }]);
  });
});
