/**
 * The examples of the replication guide that concern conflict resolution, numbered as in `leaders.int.test.ts`. They are functions of values; what comes
 * out of them is written on a real server by a leader or a master, and compared with what another node has in its SQLite file.
 */
import { decodeRecord, ReplicationRole } from '@canopy/replication';
import {
  ConflictResolver,
  CRDTMergeStrategy,
  CustomResolverStrategy,
  FieldMergeStrategy,
  GCounter,
  GSet,
  LastWriteWinsStrategy,
  LWWRegister,
  PNCounter,
  VersionVectorStrategy,
} from '@canopy/replication/conflict-resolver';
import { afterAll, expect, it } from 'vitest';
import { endServer, Ground, leaderFollower, multiMaster, until } from './ground.ts';

afterAll(endServer);

/** Writes values; gives them as the follower has them. */
async function replicated(namespace: string, values: Record<string, unknown>): Promise<Record<string, unknown>> {
  const ground = await Ground.of(namespace);
  const make = async (nodeId: string, role: ReplicationRole) => {
    const [pipeline, stateStore] = [await ground.pipeline(nodeId), ground.sqliteStore()];
    return leaderFollower({ nodeId, role, pipeline, stateStore, namespace });
  };
  const leader = await make('leader-1', ReplicationRole.Leader);
  const follower = await make('follower-1', ReplicationRole.Follower);
  await leader.start();
  for (const [key, value] of Object.entries(values)) {
    const { success, error } = await leader.write({ key, value, operation: 'update' });
    expect(error).toBeUndefined();
    expect(success).toBe(true);
  }
  await follower.start();
  const read = Object.keys(values).map(async (key) => [key, await follower.read(key)] as const);
  return Object.fromEntries(await Promise.all(read));
}

/** One master writes values that merge; gives them as another has them. */
async function merging(namespace: string, values: Record<string, unknown>): Promise<Record<string, unknown>> {
  const ground = await Ground.of(namespace);
  const make = async (masterId: string) => {
    const master = multiMaster({ masterId, pipeline: await ground.pipeline(masterId), stateManager: ground.sqlite() });
    await master.subscribe();
    return master;
  };
  const [writer, reader] = [await make('node-a'), await make('node-b')];
  await writer.write('values', values);
  await until(async () => expect(await reader.getEntity('values')).not.toBeNull());
  return decodeRecord((await reader.getEntity('values'))?.data) as Record<string, unknown>;
}

it('22, 23, 24, 30: strategies', async () => {
  const lww = new ConflictResolver(new LastWriteWinsStrategy());
  const result = lww.resolve(
    { value: { name: 'Alice' }, timestamp: 1000, nodeId: 'node-1' },
    { value: { name: 'Bob' }, timestamp: 2000, nodeId: 'node-2' },
  );
  expect([result.value, result.resolution]).toEqual([{ name: 'Bob' }, 'remote']);
  const tied = lww.resolve(
    { value: 'A', timestamp: 1000, nodeId: 'node-1' },
    { value: 'B', timestamp: 1000, nodeId: 'node-2' },
  );
  expect(tied.value).toBe('B');

  const versions = new ConflictResolver(new VersionVectorStrategy());
  const causal = versions.resolve(
    { value: { v: 1 }, timestamp: 1000, nodeId: 'A', vectorClock: { entries: { A: 1, B: 0 } } },
    { value: { v: 2 }, timestamp: 2000, nodeId: 'B', vectorClock: { entries: { A: 1, B: 1 } } },
  );
  expect(causal.resolution).toBe('remote');
  const concurrent = versions.resolve(
    { value: { v: 1 }, timestamp: 1000, nodeId: 'A', vectorClock: { entries: { A: 1, B: 0 } } },
    { value: { v: 2 }, timestamp: 1000, nodeId: 'B', vectorClock: { entries: { A: 0, B: 1 } } },
  );
  expect([concurrent.resolution, concurrent.conflicts?.map(({ value }) => value)]).toEqual([
    'merged',
    [{ v: 1 }, { v: 2 }],
  ]);

  const fields = new ConflictResolver(new FieldMergeStrategy()).resolve(
    { value: { name: 'Alice', email: 'alice@old.com', age: 30 }, timestamp: 1000, nodeId: 'A' },
    { value: { name: 'Alice Smith', phone: '555-1234' }, timestamp: 2000, nodeId: 'B' },
  );
  expect(fields.value).toEqual({ name: 'Alice Smith', email: 'alice@old.com', age: 30, phone: '555-1234' });

  const carts = new ConflictResolver(
    new CustomResolverStrategy((local, remote) => {
      const localItems = local.value.items || [];
      const remoteItems = remote.value.items || [];
      const merged = new Map<string, number>();
      for (const item of localItems) merged.set(item.id, (merged.get(item.id) || 0) + item.qty);
      for (const item of remoteItems) merged.set(item.id, (merged.get(item.id) || 0) + item.qty);
      return {
        value: { items: Array.from(merged.entries()).map(([id, qty]) => ({ id, qty })) },
        timestamp: Math.max(local.timestamp, remote.timestamp),
        nodeId: remote.nodeId,
        resolution: 'merged',
      };
    }),
  );
  const cart = carts.resolve(
    { value: { items: [{ id: 'milk', qty: 1 }] }, timestamp: 1, nodeId: 'A' },
    {
      value: {
        items: [
          { id: 'milk', qty: 2 },
          { id: 'eggs', qty: 6 },
        ],
      },
      timestamp: 2,
      nodeId: 'B',
    },
  );
  expect(cart.value).toEqual({
    items: [
      { id: 'milk', qty: 3 },
      { id: 'eggs', qty: 6 },
    ],
  });

  const values = { lww: result, tied, causal, concurrent, fields, cart };
  expect(await replicated('strategies', values)).toEqual(values);
});

it('25, 26, 27, 28, 29: values that merge', async () => {
  const counterA = new GCounter('node-a');
  counterA.increment(5);
  expect(counterA.value()).toBe(5);
  const counterB = new GCounter('node-b');
  counterB.increment(3);
  expect(counterB.value()).toBe(3);
  counterA.merge(counterB);
  expect(counterA.value()).toBe(8);
  const json = counterA.toJSON();
  expect(json).toEqual({ 'node-a': 5, 'node-b': 3 });
  const restored = GCounter.fromJSON(json);
  expect(restored.value()).toBe(8);

  const counter = new PNCounter('node-a');
  counter.increment(10);
  counter.decrement(3);
  expect(counter.value()).toBe(7);
  const remote = new PNCounter('node-b');
  remote.increment(5);
  remote.decrement(2);
  counter.merge(remote);
  expect(counter.value()).toBe(10);

  const setA = new GSet<string>();
  setA.add('apple');
  setA.add('banana');
  const setB = new GSet<string>();
  setB.add('banana');
  setB.add('cherry');
  setA.merge(setB);
  expect(setA.elements()).toEqual(['apple', 'banana', 'cherry']);
  expect(setA.has('cherry')).toBe(true);

  const regA = new LWWRegister<string>('node-a');
  regA.set('value-1', 1000);
  const regB = new LWWRegister<string>('node-b');
  regB.set('value-2', 2000);
  regA.merge(regB);
  expect([regA.get(), regA.timestamp()]).toEqual(['value-2', 2000]);

  const resolver = new ConflictResolver(new CRDTMergeStrategy());
  const result = resolver.resolve(
    {
      value: {
        views: GCounter.fromJSON({ 'node-a': 100 }),
        likes: PNCounter.fromJSON({ positive: { 'node-a': 50 }, negative: {} }),
        title: 'Original Title',
      },
      timestamp: 1000,
      nodeId: 'A',
    },
    {
      value: {
        views: GCounter.fromJSON({ 'node-b': 75 }),
        likes: PNCounter.fromJSON({ positive: { 'node-b': 30 }, negative: {} }),
        title: 'Updated Title',
      },
      timestamp: 2000,
      nodeId: 'B',
    },
  );
  expect(result.value.views.value()).toBe(175);
  expect(result.value.likes.value()).toBe(80);
  expect(result.value.title).toBe('Updated Title');

  const kept = await merging('values', { counterA, counter, setA, regA, document: result.value });
  const { views, likes, title } = kept.document as { views: GCounter; likes: PNCounter; title: string };
  expect([views.value(), likes.value(), title]).toEqual([175, 80, 'Updated Title']);
  // What came over the wire goes on merging.
  const [readCounter, readSet] = [kept.counterA as GCounter, kept.setA as GSet<string>];
  readCounter.merge(GCounter.fromJSON({ 'node-c': 4 }));
  readSet.merge(setB);
  expect([readCounter.value(), (kept.counter as PNCounter).value(), readSet.elements()]).toEqual([
    12,
    10,
    setA.elements(),
  ]);
  expect((kept.regA as LWWRegister<string>).get()).toBe('value-2');
});

it('54: every strategy', async () => {
  const local = { value: { a: 1 }, timestamp: 1, nodeId: 'A' };
  const remote = { value: { b: 2 }, timestamp: 2, nodeId: 'B' };
  const results = {
    lww: new ConflictResolver(new LastWriteWinsStrategy()).resolve(local, remote),
    versions: new ConflictResolver(new VersionVectorStrategy()).resolve(local, remote),
    fields: new ConflictResolver(new FieldMergeStrategy()).resolve(local, remote),
    crdt: new ConflictResolver(new CRDTMergeStrategy()).resolve(local, remote),
    custom: new ConflictResolver(
      new CustomResolverStrategy((_mine, theirs) => {
        return { ...theirs, resolution: 'custom' };
      }),
    ).resolve(local, remote),
  };
  const shown = Object.entries(results).map(([name, { value, resolution }]) => [name, value, resolution]);
  expect(shown).toEqual([
    ['lww', { b: 2 }, 'remote'],
    ['versions', { b: 2 }, 'merged'],
    ['fields', { a: 1, b: 2 }, 'merged'],
    ['crdt', { a: 1, b: 2 }, 'merged'],
    ['custom', { b: 2 }, 'custom'],
  ]);
  expect(await replicated('all-strategies', results)).toEqual(results);
});
