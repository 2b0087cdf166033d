/** What may be written to a log, how it comes back on every replica, and what is passed over in one. */
import { GCounter, type Json, MemoryStore, ORSet, stateStore } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { unfitness, type WriteRecord } from '../../src/leader-follower/log/log-records.ts';
import { MemorySnapshots } from './memory-snapshots.ts';
import { NodesOnALog, put } from './nodes-on-a-log.ts';
import { MapStore } from './plain-pipeline.ts';

const foreign = (key: string, value: unknown, more: object = {}): Json =>
  ({
    ...{ type: 'replication.write', namespace: 'tenant', key, value, operation: 'update' },
    ...{ epoch: 1, number: 900, node: 'x', timestamp: 0, ...more },
  }) as unknown as Json;

describe('a write on a log', () => {
  it('is refused where it would come back as something else', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    class Point {
      x = 1;
    }
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const values = [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      new Map([[1, 2]]),
      new Set([1]),
      [undefined],
      new Uint8Array(2),
    ];
    const more = [new Point(), new Date(Number.NaN), 7n, () => {}, { [Symbol('s')]: 1 }, cycle, new Array(2)];
    for (const value of [...values, ...more])
      for (const written of [value, { deep: [value] }])
        expect(await nodes.pass(put(leader, 'k', written)), String(value)).toMatchObject({
          errorCode: 'EVENT_INVALID',
        });
    expect(nodes.log.lastSequence).toBe(1);
  });

  it('is written as JSON writes it, and shares nothing with its caller', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const value = {
      at: new Date(0),
      gone: undefined,
      list: [{ n: -0 }],
      ['__proto__']: 1,
      shown: { toJSON: () => 'x' },
    };
    Object.defineProperty(value, '__proto__', { value: { y: 1 }, enumerable: true });
    const writing = put(leader, 'k', value);
    (value.list[0] as { n: number }).n = 7;
    expect(await nodes.pass(writing)).toMatchObject({ success: true });
    const expected = '{"at":"1970-01-01T00:00:00.000Z","list":[{"n":0}],"__proto__":{"y":1},"shown":"x"}';
    expect(JSON.stringify(await leader.read('k'))).toBe(expected);
  });

  it('brings values that merge to every replica as such, also through a snapshot, and data with their tag as data', async () => {
    await using nodes = new NodesOnALog();
    const snapshots = { store: new MemorySnapshots(), everyEvents: 1_000_000 };
    const stores = ['a', 'b', 'c'].map((nodeId) => stateStore(new MemoryStore(), { nodeId }));
    const leader = await nodes.started('a', 'leader', { stateStore: stores[0] as never, snapshots });
    const follower = await nodes.started('b', 'follower', { stateStore: stores[1] as never });
    const plain = await nodes.started('d', 'follower', { stateStore: new MapStore() });
    const count = new GCounter('a');
    count.increment(3);
    const tags = new ORSet<string>('a');
    tags.add('x');
    const data = { $crdt: 'GCounter', state: { a: -5 } };
    const writing = put(leader, 'cart', { count, tags: [tags], data });
    count.increment(1);
    const { sequence = 0 } = await nodes.pass(writing);
    expect(sequence).toBe(2);
    await nodes.until(() => follower.getAppliedSequence() === 2 && plain.getAppliedSequence() === 2);
    await nodes.pass(leader.takeSnapshot());
    await nodes.log.connect('x').trim(1);
    const late = await nodes.started('c', 'follower', { stateStore: stores[2] as never, snapshots });
    expect(late.getAppliedSequence()).toBe(2);
    for (const node of [leader, follower, plain, late]) {
      const cart = (await node.read('cart')) as { count: GCounter; tags: [ORSet<string>]; data: unknown };
      expect(cart.count, node.getNodeId()).toBeInstanceOf(GCounter);
      expect([cart.count.value(), cart.tags[0].elements(), cart.data]).toEqual([3, ['x'], data]);
      cart.count.increment(1);
    }
  });

  it('of a kind that a replica does not know stops nobody', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader', { stateStore: stateStore(new MemoryStore()) });
    const plain = await nodes.started('b', 'follower');
    const unknown = { $crdt: 'NoSuchKind', state: 1 };
    await nodes.pass(leader.demote());
    await nodes.log.connect('x').append(foreign('odd', unknown), { topic: 'write' });
    await nodes.log.connect('x').append(foreign('plain', 1), { topic: 'write' });
    await nodes.until(() => leader.getAppliedSequence() === 3 && plain.getAppliedSequence() === 3);
    expect([await plain.read('odd'), await leader.read('plain')]).toEqual([unknown, 1]);
    await expect(leader.read('odd')).rejects.toThrow(/NoSuchKind/);
  });
});

describe('a record that no store can hold', () => {
  it('is passed over by all, and told', async () => {
    await using nodes = new NodesOnALog();
    const atomic = (nodeId: string) => ({ stateStore: stateStore(new MemoryStore(), { nodeId }) });
    const leader = await nodes.started('a', 'leader', atomic('a'));
    const follower = await nodes.started('b', 'follower', atomic('b'));
    const told: Record<string, unknown[]> = { a: [], b: [] };
    for (const node of [leader, follower])
      node.on('recordSkipped', (record) => told[node.getNodeId()]?.push(record.sequence));
    // As it comes from a writer that checks nothing.
    const inject = (event: Json): void => {
      (nodes.log as unknown as { append(accepted: object, options: object): void }).append(
        { text: JSON.stringify(event), topic: 'write' },
        {},
      );
    };
    inject(foreign('bad\ud800', 1));
    inject(foreign('k'.repeat(2000), 1, { epoch: 7 }));
    inject(foreign('', 1));
    // The leader learns of them from its next write, whose place they took.
    await nodes.pass(put(leader, 'k', 0));
    expect(await nodes.pass(put(leader, 'k', 1))).toMatchObject({ success: true });
    await nodes.until(() => follower.getAppliedSequence() === leader.getAppliedSequence());
    expect(told).toEqual({ a: [2, 3, 4], b: [2, 3, 4] });
    expect([leader.getRole(), leader.getEpoch(), follower.status().epoch]).toEqual(['leader', 1, 1]);
    expect([await follower.read('k'), follower.stateStore.getAll().size]).toEqual([1, 1]);
    // Made anew, it is the same.
    await nodes.pass(follower.rebuild());
    expect(await follower.read('k')).toBe(1);
  });

  it('is told by the record alone', () => {
    const problems = ['[]', '{"a":[{"b":1e999}]}', '-1e999', `${'['.repeat(1200)}${']'.repeat(1200)}`].map((text) =>
      unfitness({ ...(foreign('k', 1) as unknown as WriteRecord), value: JSON.parse(text) }),
    );
    expect(problems).toEqual(
      [undefined, ...Array(2).fill(/number/), /nested/].map((one) => one && expect.stringMatching(one)),
    );
  });
});
