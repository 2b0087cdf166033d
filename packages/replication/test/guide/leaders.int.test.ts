/**
 * The examples of the replication guide, numbered as its code blocks are, on a real server and SQLite files. A test's title has the numbers of the
 * examples that it runs. Those of leader and followers are here, those of masters and subscribers in `masters.int.test.ts`, those of conflict resolution in
 * `conflicts.int.test.ts`.
 *
 * | Examples | Where |
 * | --- | --- |
 * | 1 architecture, 2 leader-follower, 12 multi-master, 16 timeline of clocks, 35 CAP | drawings; what 16 tells is run with 17 |
 * | 3, 51 configuration of a leader or follower | 'the whole configuration' |
 * | 4 leader, 5 follower, 6 refused write | 'starting the leader …' |
 * | 7 failure of the leader, 8 promotion, 9 demotion | 'the leader fails …' |
 * | 10 read router, 33 session client | 'read routing and read-your-writes'; as the guide has the classes, and as the package does |
 * | 11, 40, 45 lag, 36 new follower, 38 removed follower, 43 recovered follower | 'a follower comes …' |
 * | 31 strong consistency | 'strong consistency' |
 * | 41 partition, 47 and 48 split brain | 'a partition' |
 * | 14, 15, 32, 34 masters that write; 17 clocks; 18 conflicts; 19, 42 manual; 20 regions; 21 merge function | `masters.int.test.ts` |
 * | 37, 39, 44 masters come, go and return; 40 metrics; 46 storms; 49, 50 clock drift | `masters.int.test.ts` |
 * | 13, 52 configuration of a master, 53 of a subscriber | `masters.int.test.ts` |
 * | 22 to 24 and 30 strategies, 25 to 28 values that merge, 29 both, 54 all strategies | `conflicts.int.test.ts` |
 *
 * What differs from the guide's letters: namespaces, shorter times where somebody waits for them, `console` is kept, and possible `undefined`s are named. The
 * guide promotes without asking anybody, which wants a quorum callback here (or `allowUnprovenPromotion`, or an election).
 */
import { type LeaderFollowerManager, ReadRouter, ReplicationRole, SessionConsistentClient } from '@canopy/replication';
import { afterAll, expect, it } from 'vitest';
import { endServer, Ground, leaderFollower, until } from './ground.ts';

afterAll(endServer);

const quorumCallback = async (): Promise<boolean> => true;

it('3, 51: the whole configuration', async () => {
  const ground = await Ground.of('config');
  const heartbeat = await ground.heartbeat();
  const config = {
    nodeId: 'node-1',
    role: 'follower',
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace: ground.namespace,
    leaderId: 'leader-1',
    heartbeatService: heartbeat,
    heartbeatIntervalMs: 1000,
    heartbeatTimeoutMs: 5000,
    maxStalenessMs: 30000,
    lastAppliedSequence: 0,
    promotionEligible: true,
  } as const;
  const follower = leaderFollower(config);
  await follower.start();
  const { nodeId, role, pipeline, stateStore, namespace } = config;
  const defaults = leaderFollower({ nodeId, role, pipeline, stateStore, namespace });
  expect(defaults.config).toEqual(follower.config);
  expect(follower.config).toMatchObject({ heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 5000, maxStalenessMs: 30000 });
  expect([follower.canParticipateInElection(), follower.getLeaderId()]).toEqual([true, 'leader-1']);
});

it('4, 5, 6: starting the leader, starting followers, a write that is refused', async () => {
  const ground = await Ground.of('tenant-abc');
  const { console, namespace } = ground;
  const leader = leaderFollower({
    nodeId: 'leader-1',
    role: ReplicationRole.Leader,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
    heartbeatService: await ground.heartbeat(),
    heartbeatIntervalMs: 1000,
  });
  await leader.start();
  const result = await leader.write({
    key: 'customer-123',
    value: { name: 'Alice', email: 'alice@example.com' },
    operation: 'create',
  });
  console.log(`Write sequence: ${result.sequence}`);

  const follower = leaderFollower({
    nodeId: 'follower-1',
    role: ReplicationRole.Follower,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
    leaderId: 'leader-1',
    heartbeatService: await ground.heartbeat(),
    maxStalenessMs: 30000,
    promotionEligible: true,
  });
  await follower.start();
  const value = await follower.read('customer-123');
  expect(value).toEqual({ name: 'Alice', email: 'alice@example.com' });
  if (follower.isStale()) console.warn('Follower data may be stale');

  const refused = await follower.write({ key: 'customer-456', value: { name: 'Bob' }, operation: 'create' });
  if (!refused.success) {
    console.log(refused.error);
    console.log(refused.errorCode);
    console.log(refused.leaderId);
  }
  // The first record of a log is the term of its leader.
  expect(ground.printed).toEqual([
    'Write sequence: 2',
    'Follower is read-only. Redirect to leader.',
    'FOLLOWER_READ_ONLY',
    'leader-1',
  ]);
});

it('7, 8, 9: the leader fails, a follower hears of it and is promoted, and demoted', async () => {
  const ground = await Ground.of('failover');
  const { console, namespace } = ground;
  const oldLeader = leaderFollower({
    nodeId: 'leader-1',
    role: ReplicationRole.Leader,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
    heartbeatService: await ground.heartbeat(),
    heartbeatIntervalMs: 50,
  });
  await oldLeader.start();
  const heartbeat = await ground.heartbeat(2000);
  const follower = leaderFollower({
    nodeId: 'follower-1',
    role: ReplicationRole.Follower,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
    leaderId: 'leader-1',
    heartbeatService: heartbeat,
    quorumCallback,
  });
  await follower.start();
  await until(() => expect(heartbeat.isAlive('leader-1', 2000)).toBe(true));
  const elected = Promise.withResolvers<void>();
  const participateInElection = async (node: LeaderFollowerManager): Promise<void> => {
    if (!node.isLeaderHealthy()) console.warn('Leader appears unhealthy');
    elected.resolve();
  };
  follower.on('leaderFailed', async ({ leaderId }) => {
    console.log(`Leader ${leaderId} has failed`);
    if (follower.canParticipateInElection()) await participateInElection(follower);
  });
  await oldLeader.close();
  await elected.promise;

  try {
    await follower.promote();
    console.log(`Node ${follower.getNodeId()} is now leader`);
    console.log(`Role: ${follower.getRole()}`);
    const result = await follower.write({ key: 'customer-789', value: { name: 'Charlie' }, operation: 'create' });
    expect(result.success).toBe(true);
  } catch (error) {
    console.error(`Promotion failed: ${(error as Error).message}`);
  }
  expect(ground.printed).toEqual([
    'Leader leader-1 has failed',
    'warning: Leader appears unhealthy',
    'Node follower-1 is now leader',
    'Role: leader',
  ]);

  const leader = follower;
  await leader.demote();
  expect(leader.getRole()).toBe('follower');
  expect(await leader.read('customer-789')).toEqual({ name: 'Charlie' });
});

/** The guide's own. */
class GuideReadRouter {
  readonly #leader: LeaderFollowerManager;
  readonly #followers: LeaderFollowerManager[];
  #roundRobinIndex = 0;

  constructor(leader: LeaderFollowerManager, followers: LeaderFollowerManager[]) {
    this.#leader = leader;
    this.#followers = followers;
  }

  async read(key: string, options?: { preferFresh?: boolean }): Promise<unknown> {
    if (options?.preferFresh) return this.#leader.read(key);
    const healthyFollowers = this.#followers.filter((f) => !f.isStale());
    if (healthyFollowers.length === 0) return this.#leader.read(key);
    const follower = healthyFollowers[this.#roundRobinIndex % healthyFollowers.length] as LeaderFollowerManager;
    this.#roundRobinIndex++;
    return follower.read(key);
  }
}

/** The guide's own. */
class GuideSessionClient {
  #lastWriteSequence = 0;
  readonly #leader: LeaderFollowerManager;
  readonly #followers: LeaderFollowerManager[];

  constructor(leader: LeaderFollowerManager, followers: LeaderFollowerManager[]) {
    this.#leader = leader;
    this.#followers = followers;
  }

  async write(key: string, value: unknown): Promise<void> {
    const result = await this.#leader.write({ key, value, operation: 'update' });
    if (result.success) this.#lastWriteSequence = result.sequence ?? 0;
  }

  async read(key: string): Promise<unknown> {
    for (const follower of this.#followers) {
      const state = follower.getFollowerState();
      if (state && state.appliedSequence >= this.#lastWriteSequence) return follower.read(key);
    }
    return this.#leader.read(key);
  }
}

async function group(ground: Ground, followerIds: readonly string[]) {
  const { namespace } = ground;
  const make = async (nodeId: string, role: ReplicationRole): Promise<LeaderFollowerManager> => {
    const pipeline = await ground.pipeline(nodeId);
    const stateStore = ground.sqliteStore();
    return leaderFollower({ nodeId, role, pipeline, stateStore, namespace, leaderId: 'leader-1', quorumCallback });
  };
  const leader = await make('leader-1', ReplicationRole.Leader);
  await leader.start();
  const followers: LeaderFollowerManager[] = [];
  for (const nodeId of followerIds) {
    const follower = await make(nodeId, ReplicationRole.Follower);
    await follower.start();
    followers.push(follower);
  }
  return { leader, followers };
}

it('10, 33: read routing and read-your-writes', async () => {
  const ground = await Ground.of('reads');
  const { leader, followers } = await group(ground, ['follower-1', 'follower-2']);
  for (const client of [
    new GuideSessionClient(leader, followers),
    new SessionConsistentClient(leader, followers),
  ] as const)
    for (let i = 0; i < 15; i++) {
      await client.write('k', i);
      expect(await client.read('k')).toBe(i);
    }
  const { sequence = 0 } = await leader.write({ key: 'k', value: 'v', operation: 'update' });
  for (const follower of followers) await follower.waitForSequence(sequence, 30_000);
  for (const router of [new GuideReadRouter(leader, followers), new ReadRouter(leader, followers)] as const) {
    for (let i = 0; i < 3; i++) expect(await router.read('k')).toBe('v');
    expect(await router.read('k', { preferFresh: true })).toBe('v');
  }
  // Each follower takes its turn: without the leader reads go on.
  await leader.close();
  const router = new GuideReadRouter(leader, followers);
  expect([await router.read('k'), await router.read('k'), await router.read('none')]).toEqual(['v', 'v', null]);
});

it('31: strong consistency', async () => {
  const ground = await Ground.of('strong');
  const { console, namespace } = ground;
  // As the guide has it: written to without a start.
  const leader = leaderFollower({
    nodeId: 'leader-1',
    role: ReplicationRole.Leader,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
  });
  const result = await leader.write({ key: 'account-balance', value: { balance: 1000 }, operation: 'update' });
  if (result.success) console.log(`Durably written at sequence ${result.sequence}`);
  expect(ground.printed).toEqual(['Durably written at sequence 2']);
  // The log has it: another node gets it when the leader is gone for good.
  await leader.close();
  const other = leaderFollower({
    nodeId: 'follower-1',
    role: ReplicationRole.Follower,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
  });
  await other.start();
  expect(await other.read('account-balance')).toEqual({ balance: 1000 });
});

it('11, 36, 38, 40, 43, 45: a follower comes, is watched, is lost with its state, and goes', async () => {
  const ground = await Ground.of('lag');
  const { console, namespace, printed } = ground;
  const { leader, followers } = await group(ground, ['follower-1']);
  const [follower] = followers as [LeaderFollowerManager];
  for (let i = 0; i < 5; i++) await leader.write({ key: `k${i}`, value: i, operation: 'create' });

  const newFollower = leaderFollower({
    nodeId: 'follower-new',
    role: ReplicationRole.Follower,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
    leaderId: 'leader-1',
    lastAppliedSequence: 0,
  });
  await newFollower.start();
  newFollower.on('eventApplied', ({ sequence }) => console.log(`Caught up to sequence ${sequence}`));
  await leader.registerFollower('follower-new');
  const { sequence: last = 0 } = await leader.write({ key: 'k5', value: 5, operation: 'create' });
  await until(() => expect(printed).toEqual([`Caught up to sequence ${last}`]));
  await leader.reportFollowerProgress('follower-new', newFollower.getAppliedSequence() - 2);

  const leaderState = leader.getLeaderState();
  for (const [followerId, info] of leaderState?.followers ?? []) {
    const lag = leader.getFollowerLag(followerId);
    console.log(`Follower ${followerId}: lag = ${lag} events`);
    console.log(`  Last sequence: ${info.lastReportedSequence}`);
    expect(Date.now() - info.lastHeartbeat).toBeLessThan(60_000);
    expect((leaderState?.currentSequence ?? 0) - info.lastReportedSequence).toBe(lag);
  }
  const followerState = newFollower.getFollowerState();
  console.log(`Applied sequence: ${followerState?.appliedSequence}`);
  console.log(`Is stale: ${followerState?.isStale}`);
  expect(printed.slice(1)).toEqual([
    'Follower follower-new: lag = 2 events',
    `  Last sequence: ${last - 2}`,
    `Applied sequence: ${last}`,
    'Is stale: false',
  ]);
  await follower.waitForSequence(last, 30_000);
  const metrics = leader.getMetrics();
  expect([metrics.eventsEmitted, leaderState?.followerCount, leaderState?.currentSequence]).toEqual([6, 1, last]);
  expect(follower.getMetrics().eventsApplied).toBe(6);

  printed.length = 0;
  const recoveredFollower = leaderFollower({
    nodeId: 'follower-recovered',
    role: ReplicationRole.Follower,
    pipeline: await ground.pipeline(),
    stateStore: ground.sqliteStore(),
    namespace,
    leaderId: 'leader-1',
    lastAppliedSequence: 0,
  });
  const starting = recoveredFollower.start();
  recoveredFollower.on('eventApplied', ({ sequence }) => {
    const leaderSeq = leader.getLeaderState()?.currentSequence || 0;
    const progress = ((sequence / leaderSeq) * 100).toFixed(1);
    console.log(`Recovery progress: ${progress}%`);
  });
  await starting;
  expect([printed.length, printed.at(-1)]).toEqual([6, 'Recovery progress: 100.0%']);

  const followerOld = newFollower;
  await leader.unregisterFollower('follower-new');
  await followerOld.close();
  await followerOld.stateStore.clear?.();
  expect([leader.getConnectedFollowers(), followerOld.stateStore.getAll().size]).toEqual([[], 0]);
});

it('41, 47, 48: a partition, two nodes that hold themselves for leaders, and the end of it', async () => {
  const ground = await Ground.of('partition');
  const { console, namespace, printed } = ground;
  const here = await ground.node('leader-1');
  const stores = [ground.sqliteStore(), ground.sqliteStore()] as const;
  const oldLeader = leaderFollower({
    nodeId: 'leader-1',
    role: ReplicationRole.Leader,
    pipeline: here.pipeline,
    stateStore: stores[0],
    namespace,
    heartbeatService: await ground.heartbeat(5000, here.session),
    heartbeatIntervalMs: 50,
    writeTimeoutMs: 1000,
  });
  await oldLeader.start();
  await oldLeader.write({ key: 'k', value: 1, operation: 'create' });
  const heartbeat = await ground.heartbeat(2000);
  const follower = leaderFollower({
    nodeId: 'follower-1',
    role: ReplicationRole.Follower,
    pipeline: await ground.pipeline(),
    stateStore: stores[1],
    namespace,
    leaderId: 'leader-1',
    heartbeatService: heartbeat,
    quorumCallback,
  });
  await follower.start();
  await until(() => expect(follower.isLeaderHealthy() && heartbeat.isAlive('leader-1', 2000)).toBe(true));

  const announced = Promise.withResolvers<string>();
  const [shouldPromote, announceNewLeader] = [
    (node: LeaderFollowerManager) => node.getRole() === 'follower',
    announced.resolve,
  ];
  follower.on('leaderFailed', async ({ leaderId }) => {
    console.log(`Partition detected: cannot reach ${leaderId}`);
    if (shouldPromote(follower)) {
      await follower.promote();
      announceNewLeader(follower.getNodeId());
    }
  });
  // The leader's side loses the server; its heartbeats end with it.
  here.proxy.drop();
  const lost = oldLeader.write({ key: 'k', value: 'of the old leader', operation: 'update' });
  expect(await announced.promise).toBe('follower-1');
  expect(printed[0]).toBe('Partition detected: cannot reach leader-1');
  await follower.write({ key: 'k', value: 2, operation: 'update' });
  expect((await lost).success).toBe(false);

  const nodes = [oldLeader, follower];
  const leaders = nodes.filter((n) => n.getRole() === 'leader');
  expect(leaders.map((leader) => leader.getNodeId())).toEqual(['leader-1', 'follower-1']);
  if (leaders.length > 1) {
    console.error('SPLIT BRAIN DETECTED!');
    for (const leader of leaders) {
      console.log(`Leader: ${leader.getNodeId()}`);
      console.log(`  Sequence: ${leader.getLeaderState()?.currentSequence}`);
      console.log(`  Followers: ${leader.getConnectedFollowers().join(', ')}`);
    }
  }
  expect(printed).toContain('error: SPLIT BRAIN DETECTED!');

  async function resolveSplitBrain(split: LeaderFollowerManager[]): Promise<void> {
    const sorted = split.sort((a, b) => {
      const seqA = a.getLeaderState()?.currentSequence || 0;
      const seqB = b.getLeaderState()?.currentSequence || 0;
      return seqB - seqA;
    });
    const [winner, ...losers] = sorted as [LeaderFollowerManager];
    console.log(`Winner: ${winner.getNodeId()}`);
    for (const loser of losers as LeaderFollowerManager[]) {
      console.log(`Demoting: ${loser.getNodeId()}`);
      await loser.demote();
    }
  }
  async function handlePartitionHealed(before: LeaderFollowerManager, after: LeaderFollowerManager): Promise<void> {
    const oldSeq = before.getLeaderState()?.currentSequence || 0;
    const newSeq = after.getLeaderState()?.currentSequence || 0;
    if (newSeq > oldSeq) await before.demote();
    else await after.demote();
  }
  await here.proxy.heal();
  await handlePartitionHealed(oldLeader, follower);
  await resolveSplitBrain(leaders);
  expect(printed).toContain('Winner: follower-1');
  expect([oldLeader.getRole(), follower.getRole()]).toEqual(['follower', 'leader']);
  // What the old leader wrote on its side was never acknowledged, and does not show.
  await until(() => expect(stores[0].getAll()).toEqual(stores[1].getAll()));
  expect(stores[0].getAll()).toEqual(new Map([['k', 2]]));
});
