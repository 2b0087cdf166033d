import { describe, expect, it } from 'vitest';
import { TTL, World } from './world.ts';

async function recorded(world: World): Promise<unknown> {
  const entry = await (await world.kv('elections_epochs')).get('g');
  return entry === undefined ? undefined : JSON.parse(new TextDecoder().decode(entry.value));
}

/** One term of a fresh instance; its epoch. */
async function term(world: World, id: string, options = {}): Promise<number> {
  const election = await world.start(world.make(id, options));
  await world.clock.advance(2 * TTL);
  expect(election.isLeader).toBe(true);
  const { epoch } = election;
  await world.stop(election);
  return epoch as number;
}

describe('epochs grow', () => {
  it('over deletion, expiry and purge of the key', async () => {
    const world = new World();
    const first = await term(world, 'a');
    expect(await recorded(world)).toEqual({ epoch: first });
    const b = await world.start(world.make('b'));
    const second = b.epoch as number;
    await Promise.all([b.stop({ deleteKey: false }), world.clock.advance(20 * TTL)]);
    expect(await term(world, 'c')).toBeGreaterThan(second);
    expect(second).toBeGreaterThan(first);
  });

  it('over a bucket that was made anew while nobody was alive', async () => {
    const world = new World();
    let last = 0;
    for (let i = 0; i < 5; i++) last = await term(world, `n${i}`);
    world.hub.dropKv('elections');
    for (let i = 0; i < 3; i++) {
      const next = await term(world, `m${i}`);
      expect(next).toBeGreaterThan(last);
      last = next;
    }
    expect(await recorded(world)).toEqual({ epoch: last });
  });

  it('over a crash in that new bucket, whose value has expired by then', async () => {
    const world = new World();
    for (let i = 0; i < 5; i++) await term(world, `n${i}`);
    world.hub.dropKv('elections');
    const a = await world.start(world.make('a'));
    await world.clock.advance(2 * TTL);
    const before = a.epoch as number;
    await Promise.all([a.stop({ deleteKey: false }), world.clock.advance(20 * TTL)]);
    expect(await term(world, 'b')).toBeGreaterThan(before);
  });

  it('over the loss of both buckets, when the resource tells what it has seen', async () => {
    const world = new World();
    let last = 0;
    for (let i = 0; i < 5; i++) last = await term(world, `n${i}`);
    world.hub.dropKv('elections');
    world.hub.dropKv('elections_epochs');
    expect(await term(world, 'b', { epochFloor: last })).toBeGreaterThan(last);
  });

  it('when a bucket is replaced under a follower that has not noticed', async () => {
    const world = new World();
    const last = await term(world, 'a');
    // Started before the record said so much: its floor is only looked up with the acquiring write.
    const b = world.make('b');
    const kv = await (await world.session('x').ensureKv('elections_epochs')).get('g');
    const later = new TextEncoder().encode(`{"epoch":${last + 500}}`);
    await world.start(b);
    await Promise.all([b.stepDown({ holdOffMs: 2000 }), world.clock.advance(10)]);
    const record = await world.kv('elections_epochs');
    await record.update('g', later, (await record.get('g'))?.revision ?? kv?.revision ?? 0);
    await world.clock.advance(6000);
    expect(b.isLeader).toBe(true);
    expect(b.epoch).toBeGreaterThan(last + 500);
    expect(world.said('epoch_too_low')).toBe(1);
    await world.stop(b);
  });
});

describe('a record that fails', () => {
  it('does not keep anybody from leading, and says so', async () => {
    const world = new World();
    world.hub.fault = (call) => (call.bucket === 'elections_epochs' ? { outcome: 'fail' } : undefined);
    const a = await world.start(world.make('a'));
    expect(a.isLeader).toBe(true);
    expect(world.said('epoch_record_unreadable')).toBeGreaterThan(0);
    await world.stop(a);
  });

  it('is not made without being wanted', async () => {
    const world = new World();
    const a = await world.start(world.make('a', { epochBucket: false }));
    expect([...world.hub.kvBuckets.keys()]).toEqual(['elections']);
    await world.stop(a);
  });
});
