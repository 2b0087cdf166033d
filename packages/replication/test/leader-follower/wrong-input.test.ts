/** What is no configuration and no write, and whom a node names that does not know who leads. */
import {
  type LeaderFollowerConfig,
  LeaderFollowerManager,
  type LeaderTerm,
  MemoryLog,
  type Pipeline,
} from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { NodesOnALog, put } from './nodes-on-a-log.ts';
import { MapStore } from './plain-pipeline.ts';

const pipeline = { send: async () => {} };

describe('a configuration', () => {
  it.each([
    ['pipeline', {}],
    ['stateStore', { get: () => 1, set: () => 1 }],
    ['stateStore', null],
    ['heartbeatService', 5],
    ['heartbeatService', {}],
    ['heartbeatService', null],
    ['distributedLock', {}],
    ['distributedLock', { tryAcquireLock: async () => 1 }],
    ['quorumCallback', 5],
    ['election', 5],
    ['election', {}],
    ['election', null],
    ['progress', 5],
    ['snapshots', { store: {} }],
  ])('is refused for %s: %j', (field, value) => {
    const base = { nodeId: 'a', role: 'leader', namespace: 'n', pipeline, stateStore: new MapStore() } as const;
    const make = () => new LeaderFollowerManager({ ...base, [field]: value } as unknown as LeaderFollowerConfig);
    expect(make).toThrow(expect.objectContaining({ code: 'OPTIONS_INVALID', message: expect.stringContaining(field) }));
  });

  it('takes ports with the methods that are called', async () => {
    const manager = new LeaderFollowerManager({
      ...{ nodeId: 'a', role: 'leader', namespace: 'ports', pipeline },
      stateStore: { get: () => undefined, set: () => 1, delete: () => true } as never,
      heartbeatService: { sendHeartbeat: async () => {}, onLeaderStatus: () => () => {} } as never,
      distributedLock: { tryAcquireLock: async () => 1, releaseLock: async () => true } as never,
      quorumCallback: async () => true,
    });
    expect(await manager.write({ key: 'k', value: 1, operation: 'create' })).toMatchObject({ success: true });
    await manager.close();
  });
});

describe('a write', () => {
  it('that is none is answered, on a log and without', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    const follower = await nodes.started('b', 'follower');
    const plain = nodes.node('c', 'leader', { pipeline, namespace: 'plain', stateStore: new MapStore() });
    const good = { key: 'k', value: 1, operation: 'update' } as const;
    for (const manager of [leader, plain]) {
      for (const request of [null, undefined, 5, 'k', {}, []])
        expect(await nodes.pass(manager.write(request as never))).toMatchObject({ errorCode: 'EVENT_INVALID' });
      for (const timeoutMs of ['x', Number.NaN, -1, Number.POSITIVE_INFINITY, {}])
        expect(await nodes.pass(manager.write(good, { timeoutMs } as never))).toMatchObject({
          errorCode: 'EVENT_INVALID',
        });
      expect(await nodes.pass(manager.write(good, null as never))).toMatchObject({ success: true });
    }
    expect(await follower.write(null as never)).toMatchObject({ errorCode: 'FOLLOWER_READ_ONLY' });
  });
});

describe('who does not know the leader', () => {
  it('does not name itself, on a log', async () => {
    await using nodes = new NodesOnALog();
    let valid = true;
    const term: LeaderTerm = { epoch: 3, signal: new AbortController().signal, isValid: () => valid };
    const leader = await nodes.started('a', 'leader', { election: { leadership: term } });
    expect(await nodes.pass(put(leader, 'k', 1))).toMatchObject({ success: true });
    // As after a freeze: the term has ended meanwhile.
    valid = false;
    const answers = await nodes.pass(Promise.all([put(leader, 'k', 2), put(leader, 'k', 3)]));
    expect(answers.map(({ errorCode, leaderId }) => [errorCode, leaderId])).toEqual([
      ['STALE_LEADER', undefined],
      ['NOT_LEADER', undefined],
    ]);
    await nodes.until(() => leader.getRole() === 'follower');
    expect((await put(leader, 'k', 4)).leaderId).toBeUndefined();
    // Its disk was lost: it reads its own records.
    await nodes.pass(leader.close());
    nodes.stores.delete('a');
    const again = await nodes.started('a', 'follower');
    expect([again.getAppliedSequence(), again.getLeaderId()]).toEqual([2, undefined]);
    expect((await put(again, 'k', 5)).leaderId).toBeUndefined();
    const other = await nodes.started('b', 'follower');
    await nodes.pass(other.promote());
    await nodes.until(() => again.getLeaderId() === 'b');
  });
});

it('the lag of a pipeline that answers later is known later', async () => {
  await using nodes = new NodesOnALog();
  const event = {
    type: 'replication.write',
    namespace: 'tenant',
    key: 'k',
    value: 1,
    operation: 'update',
    sourceNode: 'x',
    timestamp: 0,
  };
  const later = {
    send: async () => {},
    getEvents: async (from = 0) => (from === 0 ? [{ ...event, sequence: 4 }] : []),
  };
  const follower = nodes.node('f', 'follower', {
    pipeline: later as unknown as Pipeline,
    lastAppliedSequence: 1,
    stateStore: new MapStore(),
  });
  await nodes.pass(follower.start());
  expect(follower.getReplicationLag()).toBe(0);
  await nodes.until(() => follower.getReplicationLag() === 3);
  expect(follower.status().lag).toBe(3);
});

it('a follower whose log was made anew grows stale, and says why', async () => {
  await using nodes = new NodesOnALog();
  const logs = [nodes.log, new MemoryLog('tenant', { clock: nodes.clock })].map((log) => log.connect('b'));
  Object.assign(nodes.log, { createdAt: 1 });
  let at = 0;
  const swapped = new Proxy(logs[0] as object, {
    get: (_, name) => Reflect.get(logs[at] as object, name).bind?.(logs[at]) ?? Reflect.get(logs[at] as object, name),
  });
  const leader = await nodes.started('a', 'leader');
  const follower = await nodes.started('b', 'follower', { pipeline: swapped as Pipeline, maxStalenessMs: 3000 });
  await nodes.pass(put(leader, 'k', 1));
  await nodes.until(() => follower.getAppliedSequence() === 2);
  at = 1;
  for (let i = 0; i < 5; i++) await (logs[1] as (typeof logs)[0])?.append({ i }, {});
  await nodes.until(() => follower.isStale() && /made anew/.test(follower.status().lastError ?? ''));
  expect([follower.getAppliedSequence(), await follower.read('k')]).toEqual([2, 1]);
  at = 0;
  await nodes.until(() => !follower.isStale());
});
