/**
 * Every name that programs were written against, one table per class: a name that goes breaks them. Additions need no entry here; the tables hold what the guide
 * of the API that this package is compatible with shows, and what its programs are known to call.
 */
import { readFileSync } from 'node:fs';
import {
  ConflictResolver,
  CRDTMergeStrategy,
  CustomResolverStrategy,
  EventSubscriber,
  FieldMergeStrategy,
  GCounter,
  GSet,
  LastWriteWinsStrategy,
  LeaderFollowerManager,
  LWWRegister,
  MemoryCheckpointStore,
  MemoryHeartbeats,
  MemoryPipelineSource,
  MemoryStateStore,
  MultiMasterManager,
  memoryStateManager,
  PNCounter,
  ReadRouter,
  ReplicationRole,
  replicationErrors,
  SessionConsistentClient,
  VectorClock,
  VersionVectorStrategy,
} from '@canopy/replication';
import { afterEach, describe, expect, it } from 'vitest';

const plain = { send: async () => {}, subscribe: () => () => {}, getEvents: () => [] };
const leader = (more = {}) =>
  new LeaderFollowerManager({
    ...{ nodeId: 'n1', role: 'leader', pipeline: plain, stateStore: new MemoryStateStore(), namespace: 'names' },
    ...more,
  });
const master = (more = {}) =>
  new MultiMasterManager({ masterId: 'm1', pipeline: plain, stateManager: memoryStateManager(), ...more });
const checkpointStore = new MemoryCheckpointStore();
const subscriber = (more = {}) =>
  new EventSubscriber(new MemoryPipelineSource(), { namespace: 'names', checkpointStore, ...more });

afterEach(() => LeaderFollowerManager.clearGlobalLocks());

/** What is called, per class; of the instance unless it says `static`. */
const METHODS: Readonly<Record<string, { of: object; static?: object; methods: string; statics?: string }>> = {
  LeaderFollowerManager: {
    of: leader(),
    static: LeaderFollowerManager,
    statics: 'clearGlobalLocks getGlobalLockState',
    methods: `start write read isStale registerFollower unregisterFollower reportFollowerProgress getConnectedFollowers
      getFollowerLag getLeaderState getFollowerState isLeaderHealthy canParticipateInElection promote forcePromote demote
      reconcileWithPeer detectNewLeader resolveSplitBrain canAchieveQuorum requestCatchUp getAppliedSequence getReplicationLag
      hasLeaderLock getEpoch getFencingToken getMetrics getRole getNodeId getLeaderId isClosed on off emit removeAllListeners
      close waitForSequence waitForToken position getRecoveryProgress rebuild unsafeForcePromote status takeSnapshot`,
  },
  MultiMasterManager: {
    of: master(),
    methods: `subscribe write delete read getEntity applyRemoteEvent getConflicts getPendingConflicts resolveConflict
      getVectorClock getMasterId getConflictStrategy setConflictStrategy getEventBufferSize getBufferedEventCount getMetrics
      syncWithRemote writeCounter incrementCounter getCounter writePNCounter incrementPNCounter decrementPNCounter getPNCounter
      addToSet getSet writeRegister getRegister writeCRDTDocument getCRDTDocument close on off getStatus hotEntities clockReport
      stateHash leave removeMaster takeSnapshot compareState rebuild getRecoveryProgress`,
  },
  VectorClock: {
    of: new VectorClock(),
    static: VectorClock,
    statics: 'fromJSON merge compare happensBefore',
    methods: 'isEmpty get set increment getNodes toJSON copy mergeWith',
  },
  ConflictResolver: {
    of: new ConflictResolver(new LastWriteWinsStrategy()),
    methods: 'resolve resolveAsync resolveMultiple setStrategy',
  },
  LastWriteWinsStrategy: { of: new LastWriteWinsStrategy(), methods: 'resolve' },
  VersionVectorStrategy: { of: new VersionVectorStrategy(), methods: 'resolve' },
  FieldMergeStrategy: { of: new FieldMergeStrategy(), methods: 'resolve' },
  CRDTMergeStrategy: { of: new CRDTMergeStrategy(), methods: 'resolve' },
  CustomResolverStrategy: {
    of: new CustomResolverStrategy((local) => ({ ...local, resolution: 'custom' })),
    methods: 'resolve resolveAsync',
  },
  GCounter: { of: new GCounter('a'), static: GCounter, statics: 'fromJSON', methods: 'increment value merge toJSON' },
  PNCounter: {
    of: new PNCounter('a'),
    static: PNCounter,
    statics: 'fromJSON',
    methods: 'increment decrement value merge toJSON',
  },
  GSet: { of: new GSet(), static: GSet, statics: 'fromJSON', methods: 'add has size elements merge toJSON' },
  LWWRegister: {
    of: new LWWRegister('a'),
    static: LWWRegister,
    statics: 'fromJSON',
    methods: 'set get timestamp nodeId merge toJSON',
  },
  EventSubscriber: {
    of: subscriber(),
    methods: `subscribe unsubscribe poll replayFrom getCheckpoint checkpoint cleanupIdempotencyKeys close isSubscribedTo start
      pause resume progress`,
  },
  ReadRouter: { of: new ReadRouter(leader(), []), methods: 'read' },
  SessionConsistentClient: { of: new SessionConsistentClient(leader(), []), methods: 'write read' },
  CheckpointStore: { of: checkpointStore, methods: 'get set delete getAll' },
  StateStore: { of: new MemoryStateStore(), methods: 'get set delete has getAll getVersion' },
  StateManager: { of: memoryStateManager(), methods: 'get set delete list' },
  PipelineSource: {
    of: new MemoryPipelineSource(),
    methods: 'connect disconnect subscribe unsubscribe consume getLatestOffset',
  },
  HeartbeatService: {
    of: new MemoryHeartbeats().connect('n1'),
    methods: 'sendHeartbeat getLastHeartbeat isAlive onLeaderStatus',
  },
};

const words = (text = ''): string[] => text.split(/\s+/).filter((word) => word !== '');

describe.each(Object.entries(METHODS))('%s', (_, table) => {
  it.each(words(table.methods))('%s()', (name) => {
    expect(typeof (table.of as Record<string, unknown>)[name]).toBe('function');
  });
  for (const name of words(table.statics))
    it(`static ${name}()`, () => expect(typeof (table.static as Record<string, unknown>)[name]).toBe('function'));
});

/** Each option with a value that its type allows; a name that nobody knows is refused by the same constructors. */
const OPTIONS: Readonly<Record<string, { make: (more: object) => unknown; options: object }>> = {
  LeaderFollowerManager: {
    make: leader,
    options: {
      leaderId: 'n2',
      heartbeatService: new MemoryHeartbeats().connect('n1'),
      heartbeatIntervalMs: 1000,
      heartbeatTimeoutMs: 5000,
      maxStalenessMs: 30_000,
      lastAppliedSequence: 3,
      promotionEligible: false,
      distributedLock: { tryAcquireLock: async () => 1, releaseLock: async () => true },
      quorumCallback: async () => true,
      lockTimeoutMs: 30_000,
      unsafeForcePromotion: true,
    },
  },
  MultiMasterManager: {
    make: master,
    options: {
      conflictStrategy: 'custom',
      mergeFn: (local: unknown) => local,
      eventBufferSize: 10,
      applyTimeout: 5000,
    },
  },
  EventSubscriber: {
    make: subscriber,
    options: {
      onEvent: () => {},
      onBatch: () => {},
      onError: () => {},
      batchSize: 100,
      pollInterval: 1000,
      checkpointMode: 'interval',
      checkpointInterval: 5000,
      enableIdempotency: true,
      idempotencyWindowMs: 60_000,
      maxRetries: 3,
      retryDelay: 100,
    },
  },
};

describe.each(Object.entries(OPTIONS))('options of %s', (_, { make, options }) => {
  it.each(Object.entries(options))('%s', (name, value) => {
    expect(() => make({ [name]: value })).not.toThrow();
    expect(() => make({ [`${name}X`]: value })).toThrow(/X/);
  });
});

it.each(['lww', 'custom', 'manual', 'detect', 'crdt'])('conflict strategy %s', (conflictStrategy) => {
  expect((master({ conflictStrategy }) as MultiMasterManager).getConflictStrategy()).toBe(conflictStrategy);
});

it('defaults and shapes', async () => {
  await using one = leader();
  expect(ReplicationRole).toEqual({ Leader: 'leader', Follower: 'follower' });
  expect(one.config).toEqual({
    ...{ nodeId: 'n1', role: 'leader', namespace: 'names', promotionEligible: true },
    ...{ heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 5000, maxStalenessMs: 30_000 },
  });
  expect(Object.keys(one.getMetrics()).sort()).toEqual(['eventsApplied', 'eventsEmitted', 'nodeId', 'role']);
  expect(Object.keys(one.getLeaderState() ?? {}).sort()).toEqual(
    words('currentSequence epoch fencingToken followerCount followers role'),
  );
  const stateStore = new MemoryStateStore();
  expect(leader({ nodeId: 'n3', role: 'follower', stateStore }).stateStore).toBe(stateStore);
  await using other = leader({ nodeId: 'n2', role: 'follower', leaderId: 'n1' });
  expect(Object.keys(other.getFollowerState() ?? {}).sort()).toEqual(words('appliedSequence isStale leaderId role'));
  expect(Object.keys(master().getMetrics()).sort()).toEqual(
    words('conflictsDetected eventBufferSize eventsApplied vectorClockNodes writesLocal'),
  );
  const { config, idempotencyStats, stats, isSubscribed, subscribedTopics, closed, seenIdempotencyKeys } = subscriber();
  expect(config).toMatchObject({
    ...{ batchSize: 100, pollInterval: 1000, checkpointMode: 'auto', checkpointInterval: 5000 },
    ...{ enableIdempotency: false, idempotencyWindowMs: 60_000, maxRetries: 3, retryDelay: 100 },
  });
  expect([idempotencyStats, isSubscribed, subscribedTopics, closed, seenIdempotencyKeys]).toEqual([
    expect.objectContaining({ trackedKeys: 0, duplicatesSkipped: 0 }),
    false,
    [],
    false,
    new Map(),
  ]);
  expect(Object.keys(stats)).toEqual(
    expect.arrayContaining(['eventsProcessed', 'batchesProcessed', 'lastProcessedOffset']),
  );
});

it.each(
  words(`MANAGER_CLOSED NOT_LEADER FOLLOWER_READ_ONLY STALE_LEADER REPLICATION_FAILED NO_QUORUM LEADER_LOCK_HELD
    PROMOTION_REFUSED`),
)('error code %s', (code) => {
  expect(replicationErrors.create(code as 'NO_QUORUM', {}).code).toBe(code);
});

/** A table of the types: a name that is none does not compile. */
it('events', () => {
  const [one, two] = [leader(), master()];
  const heard = () => {};
  one.on('write', heard).on('eventApplied', heard).on('leaderFailed', heard).on('promoted', heard);
  one.on('recoveryComplete', heard).on('roleChanged', heard).on('demoted', heard).on('leaderChanged', heard);
  one.on('gap', heard).on('error', heard).off('error', heard);
  two.on('conflictDetected', heard).on('conflictResolved', heard).on('eventApplied', heard).off('eventApplied', heard);
  expect(one.getRole()).toBe('leader');
});

it('the README lists every error once', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const [before = '', section = ''] = readme.split('\n## Errors\n');
  const listed = [...section.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code as string);
  expect([...new Set(listed)].sort()).toEqual(Object.keys(replicationErrors.table).sort());
  expect(before).not.toMatch(/^Errors:/m);
});
