/** Reads over several nodes, and sessions that travel. */
import {
  formatSessionToken,
  LeaderFollowerManager,
  parseSessionToken,
  ReadRouter,
  SessionConsistentClient,
} from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { NodesOnALog, put } from './nodes-on-a-log.ts';
import { MapStore, PlainPipeline } from './plain-pipeline.ts';

async function group(nodes: NodesOnALog) {
  const leader = await nodes.started('a', 'leader');
  const follower = await nodes.started('b', 'follower', { maxStalenessMs: 3000 });
  return { leader, follower };
}
/** The follower receives nothing. */
const cut = (nodes: NodesOnALog): void => {
  nodes.log.fault = ({ node, operation }) =>
    node === 'b' && operation === 'deliver' ? { delayMs: 10_000 } : undefined;
};

describe('sessions', () => {
  it('read what they wrote: from the leader while no follower shows it', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower } = await group(nodes);
    cut(nodes);
    const client = new SessionConsistentClient(leader, [follower]);
    expect(await nodes.pass(client.write('k', 1))).toMatchObject({ success: true });
    expect(await follower.read('k')).toBeNull();
    expect(await nodes.pass(client.read('k'))).toBe(1);
  });

  it('go on in another process by their token, which waits until it is shown there', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower } = await group(nodes);
    nodes.log.fault = ({ node, operation }) => (node === 'b' && operation === 'deliver' ? { delayMs: 700 } : undefined);
    const { token } = await nodes.pass(put(leader, 'k', 1));
    expect(follower.getAppliedSequence()).toBe(1);
    // Elsewhere there is only the follower.
    const elsewhere = new SessionConsistentClient(follower, [], { token: token as string });
    expect(await nodes.pass(elsewhere.read('k'))).toBe(1);
    expect(await nodes.pass(follower.read('k', { token: token as string }))).toBe(1);
    cut(nodes);
    const next = await nodes.pass(put(leader, 'k', 2));
    const late = new SessionConsistentClient(follower, [], { token: next.token as string, timeoutMs: 100 });
    await expect(nodes.pass(late.read('k'))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('never go back: what was read from the leader is not unread on a follower', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower } = await group(nodes);
    cut(nodes);
    await nodes.pass(put(leader, 'k', 1));
    const client = new SessionConsistentClient(leader, []);
    expect(await client.read('k')).toBe(1);
    const moved = new SessionConsistentClient(leader, [follower], { token: client.token as string });
    expect(await moved.read('k')).toBe(1);
  });

  it('follow a redirect to a leader that they know', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower } = await group(nodes);
    await nodes.pass(follower.promote());
    await nodes.until(() => leader.getRole() === 'follower');
    const client = new SessionConsistentClient(leader, [follower]);
    expect(await nodes.pass(client.write('k', 1, { operation: 'create' }))).toMatchObject({ success: true });
    expect(await nodes.pass(client.read('k'))).toBe(1);
  });

  it('refuse tokens of another log, another namespace, and no tokens at all', async () => {
    await using nodes = new NodesOnALog();
    const { leader } = await group(nodes);
    const here = leader.position();
    for (const other of [
      { ...here, namespace: 'other' },
      { ...here, logId: 5 },
    ]) {
      const token = formatSessionToken(other);
      await expect(leader.read('k', { token })).rejects.toMatchObject({ code: 'SESSION_TOKEN_FOREIGN' });
      const client = new SessionConsistentClient(leader, [], { token });
      await expect(client.read('k')).rejects.toMatchObject({ code: 'SESSION_TOKEN_FOREIGN' });
    }
    for (const token of ['', 'rs1.', 'rs1.W10', 'rs1.!', formatSessionToken({ ...here, sequence: -1 }), 7 as never])
      expect(() => parseSessionToken(token), String(token)).toThrow(/session token/);
    expect(parseSessionToken(formatSessionToken(here))).toEqual(here);
  });

  it('work on a plain pipeline', async () => {
    const pipeline = new PlainPipeline();
    const node = (nodeId: string, role: 'leader' | 'follower') =>
      new LeaderFollowerManager({ nodeId, role, pipeline, stateStore: new MapStore(), namespace: 'plain' });
    const [leader, follower] = [node('a', 'leader'), node('b', 'follower')];
    pipeline.held = true;
    await follower.start();
    const client = new SessionConsistentClient(leader, [follower]);
    await client.write('k', 1);
    expect([await client.read('k'), await follower.read('k')]).toEqual([1, null]);
    pipeline.deliver(pipeline.events[0]);
    expect(await follower.read('k', { token: client.token as string })).toBe(1);
    await Promise.all([leader.close(), follower.close()]);
  });
});

describe('the router', () => {
  it('takes a follower that shows what the token wants, else the leader; and knows who leads', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower } = await group(nodes);
    cut(nodes);
    const { token = '' } = await nodes.pass(put(leader, 'k', 1));
    const router = new ReadRouter(leader, [follower]);
    expect([await router.read('k'), await router.read('k', { token })]).toEqual([null, 1]);
    nodes.log.fault = undefined;
    await nodes.clock.advance(10_000);
    await nodes.pass(follower.promote());
    expect(router.leader).toBe(follower);
    await nodes.pass(put(follower, 'k', 2));
    expect(await router.read('k', { preferFresh: true })).toBe(2);
  });
});
