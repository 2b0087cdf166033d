import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { TTL, World } from './world.ts';

/** What a watch may say to a follower and to a leader, and what they make of it. */
describe('a follower', () => {
  const follow = async () => {
    const world = new World();
    const b = world.make('b');
    await (await world.session('maker').ensureKv('elections', { ttlMs: 0 })).create(
      'g',
      new TextEncoder().encode('{"id":"x","token":"t"}'),
    );
    await world.start(b);
    expect([b.isLeader, b.leaderId]).toEqual([false, 'x']);
    return { world, b };
  };

  it('has one watch, over many terms of others', async () => {
    const world = new World();
    const kv = await world.session('maker').ensureKv('elections', { ttlMs: TTL });
    const watch = vi.spyOn(Object.getPrototypeOf(kv), 'watch');
    onTestFinished(() => watch.mockRestore());
    const [a, b] = [await world.start(world.make('a')), await world.start(world.make('b'))];
    for (let i = 0; i < 4; i++) {
      const [from, to] = a.isLeader ? [a, 'b'] : [b, 'a'];
      await Promise.all([from.handoff(to), world.clock.advance(100)]);
    }
    expect([a.isLeader, watch.mock.calls.length]).toEqual([true, 2]);
    await world.stop(a, b);
  });

  it('takes a deleted key at once', async () => {
    const { world, b } = await follow();
    const kv = await world.kv();
    await kv.delete('g', (await kv.get('g'))?.revision as number);
    await world.clock.advance(50);
    expect(b.isLeader).toBe(true);
    await world.stop(b);
  });

  it('takes an empty value at once, over its revision', async () => {
    const { world, b } = await follow();
    const revision = await world.overwrite('');
    await world.clock.advance(50);
    expect([b.isLeader, b.status().revision]).toEqual([true, revision + 1]);
    await world.stop(b);
  });

  it.each([
    ['bad JSON', '{"id":'],
    ['no id', '{"token":"t"}'],
    ['no token', '{"id":"x"}'],
    ['an id that is no text', '{"id":7,"token":"t"}'],
    ['a list', '[]'],
  ])('waits a value with %s out and takes it, once', async (_what, value) => {
    const { world, b } = await follow();
    await world.overwrite(value);
    await world.clock.advance(TTL - 100);
    expect([b.isLeader, b.leaderId]).toEqual([false, undefined]);
    await world.clock.advance(300);
    expect(b.isLeader).toBe(true);
    expect(world.metric('election_acquire_attempts_total', 'b', { status: 'success' })).toBe(1);
    await world.stop(b);
  });

  it('learns of another leader, its epoch and its priority from values with and without them', async () => {
    const { world, b } = await follow();
    for (const value of [
      '{"id":"y","token":"u"}',
      '{"id":"z","token":"v","priority":3}',
      '{"id":"z","token":"v","hb":1,"v":2}',
    ]) {
      const revision = await world.overwrite(value);
      await world.clock.advance(10);
      expect([b.leaderId, b.epoch]).toEqual([JSON.parse(value).id, revision]);
    }
    expect(world.said('leader_changed')).toBeGreaterThanOrEqual(2);
    await world.stop(b);
  });
});

describe('a leader', () => {
  it.each([
    ['key_deleted', undefined],
    ['conflict', '{"id":"x","token":"t"}'],
    ['conflict', '{"id":"x"'],
    ['conflict', ''],
  ])('ends its term at once, with its hook once (%s)', async (reason, value) => {
    const world = new World();
    const a = await world.start(world.make('a'));
    const reasons: string[] = [];
    a.onDemote((demotion) => void reasons.push(demotion.reason));
    const { leadership } = a;
    const kv = await world.kv();
    if (value === undefined) await kv.delete('g', (await kv.get('g'))?.revision as number);
    else await world.overwrite(value);
    await world.clock.advance(5);
    expect([leadership?.signal.aborted, leadership?.isValid(), reasons]).toEqual([true, false, [reason]]);
    await world.clock.advance(3 * TTL);
    expect(reasons).toHaveLength(1);
    await world.stop(a);
  });

  it('is not disturbed by its own writes, nor by other keys of the bucket', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    const { epoch } = a;
    const kv = await world.kv();
    await kv.put('g.x', new TextEncoder().encode('{"id":"x","token":"t"}'));
    await kv.put('h', new Uint8Array(0));
    await world.clock.advance(3 * TTL);
    expect([a.isLeader, a.epoch]).toEqual([true, epoch]);
    await world.stop(a);
  });
});
