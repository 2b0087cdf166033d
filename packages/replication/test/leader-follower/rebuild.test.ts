/** A follower's state made anew: whole, or as it was. */

import { LeaderFollowerManager } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { MemorySnapshots } from './memory-snapshots.ts';
import { NodesOnALog, put } from './nodes-on-a-log.ts';
import { Heart, MapStore, PlainPipeline } from './plain-pipeline.ts';

/** A leader with ten writes, a delete, and a follower whose store was damaged since. */
async function damaged(nodes: NodesOnALog, store = new MemorySnapshots(), more = {}) {
  const snapshots = { store, take: false, keepEvents: 0, ...more };
  const leader = await nodes.started('a', 'leader', { snapshots });
  for (let i = 0; i < 10; i++) await nodes.pass(put(leader, `k${i}`, i));
  await nodes.pass(leader.write({ key: 'k9', value: null, operation: 'delete' }));
  const follower = await nodes.started('b', 'follower', { snapshots, applyBatchSize: 3 });
  const state = nodes.store('b');
  state.delete('k1');
  state.set('k2', 'wrong');
  state.set('k9', 'back from the dead');
  return { leader, follower, state, store };
}

describe('rebuild', () => {
  it('makes the state of the log, in one commit, and follows on', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower, state } = await damaged(nodes);
    const position = state.position();
    const replace = state.replace.bind(state);
    const shown: unknown[] = [];
    state.replace = (entries, at) => {
      const watched = async function* () {
        for await (const batch of entries) {
          shown.push([state.get('k2'), follower.getRecoveryProgress().percent]);
          yield batch;
        }
      };
      return replace(watched(), at);
    };
    const told: unknown[] = [];
    follower.on('recoveryComplete', ({ eventsRecovered }) => told.push(eventsRecovered));
    await nodes.pass(follower.rebuild());
    expect(state.text()).toBe(nodes.store('a').text());
    expect(state.position()).toEqual(position);
    // Batches of three events: the old state showed until the last, and each was further than the one before.
    expect(shown).toEqual([25, 50, 75, 100].map((percent) => ['wrong', percent]));
    expect(told).toEqual([11]);
    expect(follower.getRecoveryProgress().phase).toBe('none');
    await nodes.pass(put(leader, 'more'));
    await nodes.until(() => follower.getAppliedSequence() === position.sequence + 1);
    expect(await follower.read('more')).toBe('more');
  });

  it('begins with the newest snapshot where the log does not reach back', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower, state } = await damaged(nodes);
    await nodes.pass(leader.takeSnapshot());
    await nodes.pass(put(leader, 'later'));
    await nodes.pass(put(leader, 'k0', 'changed'));
    await nodes.pass(follower.rebuild());
    expect(state.text()).toBe(nodes.store('a').text());
    expect(state.position()).toEqual(nodes.store('a').position());
  });

  it('passes over what deposed leaders wrote, and keeps their successor', async () => {
    await using nodes = new NodesOnALog();
    const { leader, follower, state } = await damaged(nodes);
    const other = await nodes.started('c', 'follower', { allowUnprovenPromotion: true });
    await nodes.pass(other.unsafeForcePromote());
    await nodes.pass(put(other, 'k0', 'of c'));
    await nodes.until(() => leader.getRole() === 'follower' && follower.getEpoch() === 0);
    await nodes.pass(follower.rebuild());
    expect(state.position()).toEqual(nodes.store('c').position());
    expect(state.position().epoch).toBe(other.getEpoch());
    expect(state.text()).toBe(nodes.store('c').text());
  });

  it.each(['trimmed', 'damaged'] as const)('changes nothing when it can not: %s', async (how) => {
    await using nodes = new NodesOnALog();
    const { leader, follower, state, store } = await damaged(nodes);
    await nodes.pass(leader.takeSnapshot());
    if (how === 'trimmed') store.stored.length = 0;
    else store.damaged = true;
    const before = state.text();
    const code = how === 'trimmed' ? 'SNAPSHOT_MISSING' : 'SNAPSHOT_DAMAGED';
    await expect(nodes.pass(follower.rebuild())).rejects.toMatchObject({ code });
    expect(state.text()).toBe(before);
    await nodes.pass(put(leader, 'more'));
    await nodes.until(() => state.get('more') === 'more');
  });

  it('can be ended, and ends with its manager', async () => {
    await using nodes = new NodesOnALog();
    const { follower, state } = await damaged(nodes);
    const before = state.text();
    state.replace = async (entries) => {
      for await (const _ of entries) await nodes.clock.sleep(1000);
    };
    const leaver = new AbortController();
    const left = follower.rebuild({ signal: leaver.signal });
    await nodes.clock.advance(10);
    leaver.abort(new Error('left'));
    await expect(nodes.pass(left)).rejects.toThrow('left');
    const closed = follower.rebuild();
    await nodes.clock.advance(10);
    const closing = follower.close();
    await expect(nodes.pass(closed)).rejects.toMatchObject({ code: 'REPLICA_CLOSED' });
    await nodes.pass(closing);
    expect(state.text()).toBe(before);
    await expect(follower.rebuild()).rejects.toMatchObject({ code: 'MANAGER_CLOSED' });
  });

  it('is refused to a leader, and without a log', async () => {
    await using nodes = new NodesOnALog();
    const leader = await nodes.started('a', 'leader');
    await expect(nodes.pass(leader.rebuild())).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' });
    const config = { nodeId: 'p', role: 'follower', namespace: 'plain', stateStore: new MapStore() } as const;
    await using plain = new LeaderFollowerManager({ ...config, pipeline: new PlainPipeline() });
    expect([leader.canRebuild, plain.canRebuild]).toEqual([true, false]);
    await expect(plain.rebuild()).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' });
  });
});

describe('forcePromote', () => {
  it('promotes where the configuration says that it may, and else is refused', async () => {
    const heartbeatService = new Heart();
    const make = (nodeId: string, unsafeForcePromotion?: true) =>
      new LeaderFollowerManager({
        ...{ nodeId, role: 'follower', namespace: 'forced', stateStore: new MapStore() },
        ...{ pipeline: new PlainPipeline(), heartbeatService },
        ...(unsafeForcePromotion === undefined ? {} : { unsafeForcePromotion }),
      });
    await using refused = make('r');
    await expect(refused.forcePromote()).rejects.toMatchObject({ code: 'PROMOTION_REFUSED' });
    await expect(refused.forcePromote()).rejects.toThrow(/not eligible/);
    expect(refused.getRole()).toBe('follower');
    await using forced = make('f', true);
    await forced.start();
    await forced.forcePromote();
    expect(forced.getRole()).toBe('leader');
    LeaderFollowerManager.clearGlobalLocks();
  });
});
