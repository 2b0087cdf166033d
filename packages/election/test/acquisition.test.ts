/** What an election asks for between its start and its first term, and what it does when that is denied for a while. */
import type { NatsSession } from '@canopy/nats';
import { natsErrors } from '@canopy/nats';
import { describe, expect, it } from 'vitest';
import { Election, RoleManager } from '../src/index.ts';
import { TTL, World, withWatch } from './world.ts';

/** The calls of one session from now on, as `operation bucket`. */
function callsOf(world: World, session: string): string[] {
  const calls: string[] = [];
  world.hub.fault = (call) => {
    if (call.session === session && call.operation !== 'deliver') calls.push(`${call.operation} ${call.bucket}`);
    return undefined;
  };
  return calls;
}

describe('the way to a term', () => {
  it('is one look and one write after the opening; the record of epochs is asked for beside', async () => {
    const world = new World();
    await world.session('maker').ensureKv('elections_epochs');
    const a = world.make('a');
    const calls = callsOf(world, 'a');
    let led: string[] = [];
    a.onPromote(() => {
      led = [...calls];
    });
    await world.start(a);
    expect(a.isLeader).toBe(true);
    const before = led.slice(0, led.indexOf('create elections') + 1);
    expect([...before].sort()).toEqual(
      ['create elections', 'get elections', 'get elections_epochs', 'open elections', 'open elections_epochs'].sort(),
    );
    await world.stop(a);
  });

  it('asks the record again for a later term', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    await world.clock.advance(TTL);
    const calls = callsOf(world, 'a');
    await Promise.all([a.stepDown({ holdOffMs: 0 }), world.clock.advance(1000)]);
    expect(a.isLeader).toBe(true);
    const written = calls.indexOf('create elections');
    expect(written).toBeGreaterThan(-1);
    // One beside the write, one by the term that raises it.
    expect(calls.slice(written - 1).filter((call) => call === 'get elections_epochs')).toHaveLength(2);
    await world.stop(a);
  });

  it('is a look and a write for one more role, with no opening of its own', async () => {
    const world = new World();
    const session = world.session('m');
    const manager = new RoleManager(
      { session, bucket: 'elections', instanceId: 'm', ttl: TTL, jitter: 0 },
      world.env('m'),
    );
    await Promise.all([manager.start(), world.clock.advance(100)]);
    await Promise.all([manager.add('first'), world.clock.advance(100)]);
    const calls = callsOf(world, 'm');
    const [second] = await Promise.all([manager.add('second'), world.clock.advance(100)]);
    expect(second.isLeader).toBe(true);
    expect(calls.slice(0, 3).sort()).toEqual(['create elections', 'get elections', 'get elections_epochs']);
    await Promise.all([manager.stop(), world.clock.advance(5000)]);
  });

  it.each([
    ['while its first look is answered', 20],
    ['before its watch has begun', 70],
  ])('hears of a release %s', async (_when, atMs) => {
    const world = new World();
    const session = world.session('b');
    const kv = await session.ensureKv('elections', { ttlMs: TTL });
    const revision = await kv.create('g', new TextEncoder().encode('{"id":"x","token":"t"}'));
    const late = withWatch(kv, async function* (filter, options) {
      await world.clock.sleep(50);
      yield* kv.watch(filter, options);
    });
    const place = { session, kv: late, epochBucket: false, group: 'g', instanceId: 'b', ttl: TTL, jitter: 0 } as const;
    const b = new Election(place, world.env('b'));
    let looks = 0;
    world.hub.fault = (call) =>
      call.session === 'b' && call.operation === 'get' && looks++ === 0 ? { answerDelayMs: 50 } : undefined;
    const starting = b.start();
    await world.clock.advance(atMs);
    expect([looks, b.isLeader]).toEqual([1, false]);
    await kv.delete('g', revision);
    await Promise.all([starting, world.clock.advance(200)]);
    // Long before the lease that was seen would have run out.
    expect(b.isLeader).toBe(true);
    await world.stop(b);
  });
});

/** A session whose server denies the bucket `times` times, as a cluster does that has just started. */
function denying(session: NatsSession, times: number): NatsSession {
  let left = times;
  const ensureKv: NatsSession['ensureKv'] = async (bucket, options) => {
    if (bucket === 'elections' && left-- > 0) throw natsErrors.create('KV_BUCKET_MISSING', { bucket });
    return session.ensureKv(bucket, options);
  };
  return new Proxy(session, {
    get: (target, name) => {
      if (name === 'ensureKv') return ensureKv;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('a bucket that is denied', () => {
  const start = (world: World, times: number) => {
    const session = denying(world.session('a'), times);
    const election = new Election(
      { session, bucket: 'elections', group: 'g', instanceId: 'a', ttl: TTL },
      world.env('a'),
    );
    return {
      election,
      starting: election.start().then(
        () => 'started',
        (error) => error.code,
      ),
    };
  };

  it('is asked for again', async () => {
    const world = new World();
    const { election, starting } = start(world, 5);
    await world.clock.advance(5000);
    expect([await starting, election.isLeader]).toEqual(['started', true]);
    await world.stop(election);
  });

  it('ends the start after about ten seconds, and sooner with its signal', async () => {
    const world = new World();
    const { starting } = start(world, Number.POSITIVE_INFINITY);
    let outcome: unknown;
    void starting.then((value) => {
      outcome = value;
    });
    await world.clock.advance(8000);
    expect(outcome).toBeUndefined();
    await world.clock.advance(4000);
    expect(outcome).toBe('KV_BUCKET_MISSING');

    const giveUp = new AbortController();
    const session = denying(world.session('b'), Number.POSITIVE_INFINITY);
    const b = new Election({ session, bucket: 'elections', group: 'g', instanceId: 'b' }, world.env('b'));
    const given = b.start({ signal: giveUp.signal }).catch((error: Error) => error.message);
    await world.clock.advance(300);
    giveUp.abort(new Error('enough'));
    expect(await given).toBe('enough');
  });
});
