/** Three nodes on a real log: a succession of leaders, and a server that is killed in the middle. */
import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import {
  BusProgressChannel,
  LeaderFollowerManager,
  openEventLog,
  SessionConsistentClient,
  type WriteResult,
} from '@canopy/replication';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { MemoryState } from './memory-state.ts';

async function group(nats: TestNatsServer, ids: readonly string[]) {
  const nodes = ids.map(async (nodeId, i) => {
    const session = await connectNats(nats.connection, { name: nodeId, env: systemEnv() });
    const stateStore = new MemoryState();
    const pipeline = await openEventLog(session, { namespace: 'group' });
    const role = i === 0 ? 'leader' : 'follower';
    const progress = new BusProgressChannel(session.bus);
    const common = { progress, namespace: 'group', allowUnprovenPromotion: true, writeTimeoutMs: 15_000 } as const;
    const manager = new LeaderFollowerManager({ ...common, nodeId, role, pipeline, stateStore });
    onTestFinished(async () => {
      await manager.close();
      await session.close();
    });
    await manager.start();
    return { manager, stateStore };
  });
  return Promise.all(nodes);
}
type Node = Awaited<ReturnType<typeof group>>[number];

/** All show what the leader shows. */
const equal = (nodes: readonly Node[], sequence: number): Promise<unknown> =>
  eventually(() => {
    for (const { manager, stateStore } of nodes) {
      expect(manager.getAppliedSequence()).toBeGreaterThanOrEqual(sequence);
      expect(stateStore.text()).toBe(nodes[0]?.stateStore.text());
    }
    return true;
  });
const last = (results: readonly WriteResult[]): number => Math.max(...results.map(({ sequence = 0 }) => sequence));
const burst = (node: Node, n: number, by: string): Promise<WriteResult[]> =>
  Promise.all(
    Array.from({ length: n }, (_, i) =>
      node.manager.write({ key: `k${i % 50}`, value: `${by}${i}`, operation: 'update' }),
    ),
  );

test('leaders follow one another; nothing is lost, the deposed one is refused, all replicas are equal', async () => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const nodes = await group(nats, ['a', 'b', 'c']);
  const [a, b] = nodes as [Node, Node, Node];
  const first = await burst(a, 300, 'a');
  expect(first.every(({ success }) => success)).toBe(true);
  await b.manager.promote();
  const refused = await a.manager.write({ key: 'k', value: 'late', operation: 'update' });
  expect(['STALE_LEADER', 'NOT_LEADER']).toContain(refused.errorCode);
  const second = await burst(b, 300, 'b');
  expect(second.every(({ success }) => success)).toBe(true);
  await equal(nodes, last(second));
  expect(a.manager.getRole()).toBe('follower');
  const wide = await b.manager.write({ key: 'wide', value: 1, operation: 'create' }, { ack: 'followers:2' });
  expect(wide).toMatchObject({ success: true });
  expect(b.manager.getConnectedFollowers().sort()).toEqual(['a', 'c']);
  const session = new SessionConsistentClient(b.manager, [a.manager]);
  await session.write('mine', 1);
  expect(await session.read('mine')).toBe(1);
});

test('a server that is killed loses nothing that was acknowledged', async () => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const nodes = await group(nats, ['a', 'b']);
  const [a] = nodes as [Node, Node];
  await burst(a, 50, 'before');
  const during = burst(a, 200, 'during');
  await nats.server.kill();
  await nats.server.restart();
  const results = await during;
  const after = await eventually(async () => {
    const result = await a.manager.write({ key: 'end', value: 1, operation: 'update' });
    expect(result).toMatchObject({ success: true });
    return result;
  });
  await equal(nodes, after.sequence as number);
  // Of each key, what was acknowledged last shows, or something that came later.
  const order = new Map(results.map(({ success, sequence }, i) => [`during${i}`, success ? (sequence as number) : 0]));
  for (let key = 0; key < 50; key++) {
    const acknowledged = results.flatMap(({ success, sequence = 0 }, i) =>
      success && i % 50 === key ? [sequence] : [],
    );
    const shown = (await a.manager.read(`k${key}`)) as string;
    const unknown = results[Number(shown.slice(6))]?.success === false;
    if (acknowledged.length > 0 && !unknown) expect(order.get(shown), shown).toBe(Math.max(...acknowledged));
  }
});
