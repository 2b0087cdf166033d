/**
 * The examples of the replication guide that concern masters and subscribers, on a real server and SQLite files; `leaders.int.test.ts` has the table of
 * all, and says what differs from the guide's letters. Where the guide sleeps for propagation, the test waits until it has happened.
 */
import {
  EventSubscriber,
  type EventSubscriberConfig,
  jetStreamPipelineSource,
  kvCheckpoints,
  type MergeFn,
  VectorClock,
} from '@canopy/replication';
import { MultiMasterManager, type WriteEvent } from '@canopy/replication/multi-master';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { endServer, Ground, multiMaster, type Node, until } from './ground.ts';

afterAll(endServer);

type Strategy = 'lww' | 'custom' | 'manual' | 'detect';
const master = async (ground: Ground, masterId: string, conflictStrategy: Strategy = 'lww', mergeFn?: MergeFn) =>
  multiMaster({
    masterId,
    pipeline: await ground.pipeline(masterId),
    stateManager: ground.sqlite(),
    conflictStrategy,
    ...(mergeFn === undefined ? {} : { mergeFn }),
  });

/** Two masters, each behind a network of its own. */
async function pair(ground: Ground, conflictStrategy: Strategy, mergeFn?: MergeFn) {
  const nodes: Node[] = [];
  const masters: MultiMasterManager[] = [];
  for (const masterId of ['master-1', 'master-2']) {
    const node = await ground.node(masterId);
    const given = { masterId, pipeline: node.pipeline, stateManager: ground.sqlite(), conflictStrategy };
    const made = multiMaster(mergeFn === undefined ? given : { ...given, mergeFn });
    await made.subscribe();
    nodes.push(node);
    masters.push(made);
  }
  const apart = async (writing: () => Promise<void>): Promise<void> => {
    for (const { proxy } of nodes) proxy.drop();
    await writing();
    for (const { proxy } of nodes) await proxy.heal();
  };
  return { masters: masters as [MultiMasterManager, MultiMasterManager], apart };
}

it('13, 52: the whole configuration of a master', async () => {
  const ground = await Ground.of('master-config');
  const mergeFn: MergeFn = (local) => local;
  const config = {
    masterId: 'master-1',
    pipeline: await ground.pipeline(),
    stateManager: ground.sqlite(),
    conflictStrategy: 'custom',
    mergeFn,
    eventBufferSize: 1000,
    applyTimeout: 5000,
  } as const;
  const made = multiMaster(config);
  expect([made.getMasterId(), made.getConflictStrategy(), made.getEventBufferSize()]).toEqual([
    'master-1',
    'custom',
    1000,
  ]);
  const { masterId, pipeline, stateManager } = config;
  const defaults = new MultiMasterManager({ masterId, pipeline, stateManager });
  expect([defaults.getConflictStrategy(), defaults.getEventBufferSize()]).toEqual(['lww', 1000]);
  for (const strategy of ['lww', 'custom', 'manual', 'detect'] as const) {
    await defaults.setConflictStrategy(strategy);
    expect(defaults.getConflictStrategy()).toBe(strategy);
  }
});

it('14, 15: creating masters, writing data', async () => {
  const ground = await Ground.of('regions-two');
  const { console } = ground;
  const usaMaster = await master(ground, 'master-usa');
  const euMaster = await master(ground, 'master-eu');
  await usaMaster.subscribe();
  await euMaster.subscribe();
  const result = await usaMaster.write('customer-123', { name: 'Alice', email: 'alice@example.com', region: 'USA' });
  console.log(`Write success: ${result.success}`);
  console.log(`Master: ${result.masterId}`);
  console.log(`Entity: ${result.entityId}`);
  console.log(`Queued: ${result.queued}`);
  expect(ground.printed).toEqual([
    'Write success: true',
    'Master: master-usa',
    'Entity: customer-123',
    'Queued: false',
  ]);
  await euMaster.write('customer-123', { name: 'Alice Smith', email: 'alice@example.com', region: 'USA' });
  await until(async () => {
    expect(usaMaster.getVectorClock().toJSON()).toEqual({ 'master-usa': 1, 'master-eu': 1 });
    expect(euMaster.getVectorClock().toJSON()).toEqual({ 'master-usa': 1, 'master-eu': 1 });
  });
  expect((await usaMaster.getEntity('customer-123'))?.data.name).toMatch(/^Alice( Smith)?$/);
  expect(await euMaster.stateHash()).toBe(await usaMaster.stateHash());
});

it('16, 17: vector clocks, and the timeline of two masters', async () => {
  const clockA = new VectorClock({ usa: 1, eu: 0 });
  const clockB = new VectorClock({ usa: 0, eu: 1 });
  const clockC = new VectorClock({ usa: 1, eu: 1 });
  expect(VectorClock.compare(clockA, clockB)).toBe('concurrent');
  expect(VectorClock.compare(clockA, clockC)).toBe('before');
  expect(VectorClock.compare(clockC, clockA)).toBe('after');
  const merged = VectorClock.merge(clockA, clockB);
  expect(merged.toJSON()).toEqual({ usa: 1, eu: 1 });

  const ground = await Ground.of('timeline');
  const [usa, eu] = [await master(ground, 'usa'), await master(ground, 'eu')];
  for (const each of [usa, eu]) await each.subscribe();
  expect([usa.getVectorClock().toJSON(), eu.getVectorClock().toJSON()]).toEqual([{ usa: 0 }, { eu: 0 }]);
  await usa.write('a', {});
  await until(() => expect(VectorClock.compare(eu.getVectorClock(), { usa: 1, eu: 0 })).toBe('equal'));
  await eu.write('b', {});
  await until(() => expect(usa.getVectorClock().toJSON()).toEqual({ usa: 1, eu: 1 }));
  await usa.write('c', {});
  expect(usa.getVectorClock().toJSON()).toEqual({ usa: 2, eu: 1 });
});

it('18: a remote event that conflicts', async () => {
  const ground = await Ground.of('conflict');
  const { console, printed } = ground;
  const here = await master(ground, 'master-1', 'detect');
  await here.subscribe();
  await here.write('customer-123', { name: 'here' });
  const event: WriteEvent = {
    type: 'write',
    masterId: 'master-2',
    entityId: 'customer-123',
    entityType: 'Customer',
    data: { name: 'there' },
    vectorClock: { 'master-2': 1 },
    timestamp: Date.now(),
  };
  const result = await here.applyRemoteEvent(event);
  if (result.isConflict) {
    console.log('Conflict detected!');
    const conflicts = await here.getConflicts();
    for (const conflict of conflicts) {
      console.log(`Entity: ${conflict.entityId}`);
      expect(new Date(conflict.detectedAt).getTime()).toBeGreaterThan(event.timestamp - 60_000);
      for (const version of conflict.versions) {
        console.log(`  - Master ${version.masterId}:`);
        console.log(`    Data: ${JSON.stringify(version.data)}`);
        console.log(`    Clock: ${JSON.stringify(version.vectorClock)}`);
      }
      console.log(`Options: ${conflict.resolutionOptions.join(', ')}`);
    }
  }
  expect(printed).toEqual([
    'Conflict detected!',
    'Entity: customer-123',
    '  - Master master-1:',
    '    Data: {"name":"here"}',
    '    Clock: {"master-1":1}',
    '  - Master master-2:',
    '    Data: {"name":"there"}',
    '    Clock: {"master-2":1}',
    'Options: keep-local, keep-remote, lww, merge',
  ]);
});

it('19, 42: a partition, its conflicts, and their resolution by hand', async () => {
  const ground = await Ground.of('manual');
  const { console, printed } = ground;
  const { masters, apart } = await pair(ground, 'manual');
  const [first, second] = masters;
  const notified: string[] = [];
  const notifyAdminOfConflict = (conflict: { entityId: string }): void => void notified.push(conflict.entityId);
  first.on('conflictDetected', async (conflict) => {
    console.log(`Conflict during partition healing: ${conflict.entityId}`);
    if (first.getConflictStrategy() === 'manual') notifyAdminOfConflict(conflict);
  });
  await apart(async () => {
    await first.write('customer-123', { name: 'Alice' });
    await second.write('customer-123', { phone: '555-1234' });
  });
  for (const each of masters) await until(async () => expect(await each.getPendingConflicts()).toHaveLength(1));
  const mergeCustomerData = (versions: readonly { readonly data: unknown }[]): Record<string, unknown> =>
    Object.assign({}, ...versions.map(({ data }) => data));

  const pending = await first.getPendingConflicts();
  for (const conflict of pending) {
    const resolvedData = mergeCustomerData(conflict.versions);
    await first.resolveConflict(conflict.entityId, resolvedData);
  }
  await until(async () => {
    expect(await second.getPendingConflicts()).toEqual([]);
    expect((await second.getEntity('customer-123'))?.data).toEqual({ name: 'Alice', phone: '555-1234' });
  });
  expect([notified, printed]).toEqual([['customer-123'], ['Conflict during partition healing: customer-123']]);
});

it('20: regional masters', async () => {
  const ground = await Ground.of('regions-four');
  const regions = ['us-east', 'us-west', 'eu-west', 'ap-south'];
  const masters = await Promise.all(regions.map((region) => master(ground, `master-${region}`)));
  for (const each of masters) await each.subscribe();
  const getUserRegion = (userId: string): string => userId.split('/')[0] as string;
  async function routeWrite(userId: string, data: Record<string, unknown>) {
    const userRegion = getUserRegion(userId);
    const near = masters.find((m) => m.getMasterId().includes(userRegion));
    return near?.write(userId, data);
  }
  for (const region of regions)
    expect((await routeWrite(`${region}/1`, { region }))?.masterId).toBe(`master-${region}`);
  for (const each of masters)
    for (const region of regions)
      await until(async () => expect((await each.getEntity(`${region}/1`))?.data).toEqual({ region }));
});

it('21: active-active with a merge function', async () => {
  const ground = await Ground.of('merge-fn');
  const { masters, apart } = await pair(ground, 'custom', (local, remote) => {
    return {
      ...remote,
      $id: local.$id,
      $type: local.$type,
      $version: Math.max(local.$version, remote.$version) + 1,
      data: {
        ...local.data,
        ...remote.data,
        tags: [...new Set([...(local.data.tags || []), ...(remote.data.tags || [])])],
        viewCount: Math.max(local.data.viewCount || 0, remote.data.viewCount || 0),
      },
      updatedAt: Math.max(local.updatedAt, remote.updatedAt),
    };
  });
  await apart(async () => {
    await masters[0].write('page', { tags: ['x', 'y'], viewCount: 7 });
    await masters[1].write('page', { tags: ['y', 'z'], title: 'Page' });
  });
  for (const each of masters)
    await until(async () => {
      const { tags, ...rest } = (await each.getEntity('page'))?.data ?? {};
      expect(rest).toEqual({ viewCount: 7, title: 'Page' });
      expect(new Set(tags as string[])).toEqual(new Set(['x', 'y', 'z']));
    });
  expect(await masters[0].getEntity('page')).toEqual(await masters[1].getEntity('page'));
});

it('32, 34: eventual and causal consistency', async () => {
  const ground = await Ground.of('causal');
  // As the guide has it: written to without a subscription.
  const first = await master(ground, 'master-1');
  const result = await first.write('user-123', { name: 'Alice' });
  expect(result).toMatchObject({ success: true, queued: false });
  const other = await master(ground, 'master-2');
  await other.subscribe();
  expect((await other.getEntity('user-123'))?.data).toEqual({ name: 'Alice' });

  const numbers: number[] = [];
  other.on('eventApplied', ({ masterId, number }) => {
    if (masterId === 'master-1') numbers.push(number);
  });
  await first.write('entity-1', { step: 1 });
  expect(first.getVectorClock().get('master-1')).toBe(2);
  await first.write('entity-1', { step: 2 });
  expect(first.getVectorClock().get('master-1')).toBe(3);
  await until(async () => expect((await other.getEntity('entity-1'))?.data).toEqual({ step: 2 }));
  expect(numbers).toEqual([2, 3]);
});

it('37, 39, 40, 44: masters come, go, and come back; their metrics', async () => {
  const ground = await Ground.of('members');
  const { console, printed } = ground;
  const first = await master(ground, 'master-1');
  await first.subscribe();
  for (let i = 0; i < 20; i++) await first.write(`e${i % 4}`, { i });

  const recoveredStateManager = ground.sqlite();
  const newMaster = multiMaster({
    masterId: 'master-new',
    pipeline: await ground.pipeline(),
    stateManager: recoveredStateManager,
    conflictStrategy: 'lww',
  });
  await newMaster.subscribe();
  await newMaster.write('_cluster:master-new', { status: 'online', joinedAt: Date.now() });
  await until(async () => expect((await first.getEntity('_cluster:master-new'))?.data.status).toBe('online'));
  await until(async () => expect((await newMaster.getEntity('e3'))?.data).toEqual({ i: 19 }));
  await newMaster.close();
  for (let i = 20; i < 40; i++) await first.write(`e${i % 4}`, { i });

  const recoveredMaster = multiMaster({
    masterId: 'master-new',
    pipeline: await ground.pipeline(),
    stateManager: recoveredStateManager,
    conflictStrategy: 'lww',
    eventBufferSize: 10000,
  });
  await recoveredMaster.subscribe();
  const monitoring = setInterval(() => {
    const metrics = recoveredMaster.getMetrics();
    console.log(`Catch-up: ${metrics.eventsApplied} events applied`);
    console.log(`Buffer: ${metrics.eventBufferSize} events pending`);
  }, 10);
  onTestFinished(() => clearInterval(monitoring));
  await until(() => expect(printed.slice(-2)).toEqual(['Catch-up: 20 events applied', 'Buffer: 0 events pending']));
  expect((await recoveredMaster.getEntity('e3'))?.data).toEqual({ i: 39 });

  const masterMetrics = first.getMetrics();
  expect(masterMetrics).toEqual({
    writesLocal: 40,
    eventsApplied: 1,
    conflictsDetected: 0,
    eventBufferSize: 0,
    vectorClockNodes: 2,
  });

  const masterOld = recoveredMaster;
  await masterOld.write('_cluster:master-old', { status: 'leaving', leftAt: Date.now() });
  await until(async () => expect((await first.getEntity('_cluster:master-old'))?.data.status).toBe('leaving'));
  await masterOld.close();
  await expect(masterOld.write('x', {})).rejects.toMatchObject({ code: 'MASTER_CLOSED' });
});

it('46, 49, 50: conflict storms and clocks that drift', async () => {
  const ground = await Ground.of('storm');
  const { console, printed } = ground;
  const { masters, apart } = await pair(ground, 'lww');
  const [first, second] = masters;
  await apart(async () => {
    await first.write('hot', { by: 1 });
    await second.write('hot', { by: 2 });
  });
  await until(() => expect(first.getMetrics()).toMatchObject({ conflictsDetected: 1, eventsApplied: 1 }));
  const metrics = first.getMetrics();
  const conflictRate = metrics.conflictsDetected / metrics.eventsApplied;
  console.log(`Conflict rate: ${(conflictRate * 100).toFixed(2)}%`);
  if (conflictRate > 0.1) {
    console.warn('High conflict rate detected!');
    const conflicts = await first.getConflicts();
    const byEntity = new Map<string, number>();
    for (const conflict of conflicts) {
      const count = byEntity.get(conflict.entityId) || 0;
      byEntity.set(conflict.entityId, count + 1);
    }
    const sorted = [...byEntity.entries()].sort((a, b) => b[1] - a[1]);
    console.log(`Hot entities: ${JSON.stringify(sorted.slice(0, 10))}`);
  }
  expect(printed).toEqual([
    'Conflict rate: 100.00%',
    'warning: High conflict rate detected!',
    'Hot entities: [["hot",1]]',
  ]);

  await first.write('test-entity', {});
  await until(async () => expect(await second.getEntity('test-entity')).not.toBeNull());
  const now = Date.now();
  for (const each of masters) {
    const clock = each.getVectorClock();
    expect(clock.size).toBe(each.getMetrics().vectorClockNodes);
    const entity = await each.getEntity('test-entity');
    expect(entity).not.toBeNull();
    if (entity) {
      const drift = now - entity.updatedAt;
      if (Math.abs(drift) > 60000) console.warn(`Clock drift on ${each.getMasterId()}: ${drift}ms`);
    }
  }
  expect(printed).toHaveLength(3);

  function validateEventTimestamp(event: WriteEvent): boolean {
    const maxDrift = 60000;
    if (event.timestamp > now + maxDrift) {
      console.error('Future timestamp rejected');
      return false;
    }
    if (event.timestamp < now - 24 * 60 * 60 * 1000) console.warn('Old timestamp');
    return true;
  }
  const event: WriteEvent = {
    type: 'write',
    masterId: 'master-3',
    entityId: 'later',
    entityType: 'Entity',
    data: {},
    vectorClock: { 'master-3': 1 },
    timestamp: now + 3_600_000,
  };
  expect([validateEventTimestamp(event), validateEventTimestamp({ ...event, timestamp: 0 })]).toEqual([false, true]);
  // A master rejects it by itself: it is held until its time has come.
  await first.applyRemoteEvent(event);
  expect([await first.getEntity('later'), first.getStatus().rejected]).toEqual([null, 1]);
});

it.each(['auto', 'manual', 'interval'] as const)('53: the whole configuration of a subscriber, %s', async (mode) => {
  const ground = await Ground.of(`subscriber-${mode}`);
  const session = await ground.session('subscriber');
  const source = await jetStreamPipelineSource(session, { namespace: ground.namespace });
  const checkpointStore = await kvCheckpoints(session, { namespace: ground.namespace, subscriber: 'mailer' });
  const [received, batches, failures]: [unknown[], number[], string[]] = [[], [], []];
  const config: EventSubscriberConfig = {
    namespace: ground.namespace,
    checkpointStore,
    onEvent: (event) => {
      received.push(event.payload);
      if (event.verb === 'broken') throw new Error('handler');
    },
    onBatch: (events) => void batches.push(events.length),
    onError: (error, event) => void failures.push(`${error.message} at ${event?.offset}`),
    batchSize: 100,
    pollInterval: 1000,
    checkpointMode: mode,
    checkpointInterval: 5000,
    enableIdempotency: true,
    idempotencyWindowMs: 60_000,
    maxRetries: 3,
    retryDelay: 100,
  };
  const alice = { verb: 'created', payload: { name: 'Alice' } };
  for (const [topic, idempotencyKey] of [
    ['customers', 'c-1'],
    ['customers', 'c-2'],
  ] as const)
    await source.append(topic, { ...alice, idempotencyKey });
  const subscriber = new EventSubscriber(source, config);
  onTestFinished(() => subscriber.close());
  await subscriber.subscribe('customers');
  await subscriber.poll();
  expect([received, batches, failures]).toEqual([[alice.payload, alice.payload], [2], []]);
  await source.append('customers', { verb: 'broken', payload: { name: 'Bob' } });
  await until(() => expect(failures[0]).toBe('handler at 3'));
  await subscriber.close();
  expect(await checkpointStore.get('customers')).toBe(mode === 'manual' ? null : 3);
});
