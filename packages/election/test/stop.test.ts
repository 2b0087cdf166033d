import { describe, expect, it } from 'vitest';
import type { Election } from '../src/index.ts';
import { TTL, World } from './world.ts';

/** The states that a watcher is told of, until it is told that there are no more. */
async function statesOf(election: Election): Promise<string[]> {
  const states: string[] = [];
  for await (const { state } of election.watch()) states.push(state);
  return states;
}

describe('stop', () => {
  it('releases the key by default, and another leads within the jitter', async () => {
    const world = new World();
    const [a, b] = [await world.start(world.make('a')), await world.start(world.make('b'))];
    const promoted: number[] = [];
    b.onPromote(({ epoch }) => void promoted.push(epoch));
    const stopped = a.stop();
    await world.clock.advance(30);
    await stopped;
    expect([b.isLeader, promoted.length]).toEqual([true, 1]);
    await world.stop(b);
  });

  it('with deleteKey: false leaves the lease to run out', async () => {
    const world = new World();
    const [a, b] = [await world.start(world.make('a')), await world.start(world.make('b'))];
    await a.stop({ deleteKey: false });
    expect(await world.lease()).toMatchObject({ id: 'a' });
    await world.clock.advance(TTL - 200);
    expect(b.isLeader).toBe(false);
    await world.clock.advance(400);
    expect(b.isLeader).toBe(true);
    await world.stop(b);
  });

  it('waits for the demote hook by default, and does not with waitForDemote: false', async () => {
    for (const waitForDemote of [true, false]) {
      const world = new World();
      const a = world.make('a');
      let ended = false;
      a.onDemote(async () => {
        await world.clock.sleep(1000);
        ended = true;
      });
      await world.start(a);
      const states = statesOf(a);
      let stopped = false;
      const stopping = a.stop({ waitForDemote }).then(() => {
        stopped = true;
      });
      await world.clock.advance(500);
      expect([stopped, ended]).toEqual([!waitForDemote, false]);
      // The release waits for the hook in any case.
      expect(await world.lease()).toMatchObject({ id: 'a' });
      await world.clock.advance(600);
      await stopping;
      expect([ended, await world.lease()]).toEqual([true, undefined]);
      // Watchers hear of the end, and no gauge outlives it, however long it took.
      expect([await states, a.status().state]).toEqual([['leader', 'demoted', 'stopped'], 'stopped']);
      for (const gauge of ['election_is_leader', 'election_lease_left_seconds', 'election_connection_status'])
        expect(world.metric(gauge, 'a'), gauge).toBeUndefined();
    }
  });

  it('ends at its bound when a hook does not, and the key stays', async () => {
    const world = new World();
    const a = world.make('a');
    a.onDemote(() => new Promise(() => {}));
    await world.start(a);
    const states = statesOf(a);
    const stopping = a.stop({ timeout: 300 });
    await world.clock.advance(300);
    await stopping;
    expect([a.status().isLeader, world.said('shutdown_timeout')]).toEqual([false, 1]);
    expect([await states, a.status().state]).toEqual([['leader', 'demoted', 'stopped'], 'stopped']);
    expect(await world.lease()).toMatchObject({ id: 'a' });
  });

  it.each([Number.NaN, -1])('takes the default for a bound of %d', async (timeoutMs) => {
    const world = new World();
    const a = world.make('a');
    a.onDemote(() => world.clock.sleep(500));
    await world.start(a);
    const stopping = a.stop({ timeout: timeoutMs });
    await world.clock.advance(600);
    await stopping;
    expect([world.said('shutdown_timeout'), await world.lease()]).toEqual([0, undefined]);
  });

  it('ends although the bucket is out of reach', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    world.hub.fault = (call) => (call.operation === 'deliver' ? undefined : { outcome: 'request-lost' });
    let stopped = false;
    void a.stop().then(() => {
      stopped = true;
    });
    await world.clock.advance(0);
    expect([a.isLeader, stopped]).toEqual([false, false]);
    await world.clock.advance(20_000);
    expect(stopped).toBe(true);
  });

  it('deletes nothing as a follower, nor a key that is another one by now', async () => {
    const world = new World();
    const [a, b] = [await world.start(world.make('a')), await world.start(world.make('b'))];
    await world.stop(b);
    expect([a.isLeader, (await world.lease())?.id]).toEqual([true, 'a']);
    world.hub.fault = (call) => (call.operation === 'deliver' ? { delayMs: 60_000 } : undefined);
    const revision = await world.overwrite('{"id":"x","token":"t"}');
    await world.stop(a);
    expect((await (await world.kv()).get('g'))?.revision).toBe(revision);
  });

  it('is idempotent, works before start, and what comes after it is refused', async () => {
    const world = new World();
    const idle = world.make('idle');
    await idle.stop();
    expect(idle.status()).toMatchObject({ isLeader: false });
    await expect(idle.start()).rejects.toMatchObject({ code: 'STATE_INVALID' });
    const a = await world.start(world.make('a'));
    await expect(a.start()).rejects.toMatchObject({ code: 'STATE_INVALID' });
    await Promise.all([a.stop(), a.stop({ deleteKey: false }), world.clock.advance(100)]);
    expect(await world.lease()).toBeUndefined();
    await expect(a.waitForLeadership()).rejects.toMatchObject({ code: 'ELECTION_STOPPED' });
    await expect(a.stepDown()).rejects.toMatchObject({ code: 'ELECTION_NOT_LEADER' });
  });

  it('during an acquisition leaves no lease behind', async () => {
    const world = new World();
    const a = world.make('a');
    world.hub.fault = (call) => (call.operation === 'create' ? { answerDelayMs: 300 } : undefined);
    await world.start(a);
    expect(a.isLeader).toBe(false);
    const stopping = a.stop();
    await world.clock.advance(1000);
    await stopping;
    expect([a.isLeader, await world.lease()]).toEqual([false, undefined]);
  });
});

describe('hooks', () => {
  it('come in order: work under the term ends first, then the demote hooks run, then the lease is released', async () => {
    const world = new World();
    const a = world.make('a');
    const order: string[] = [];
    const linger = async (what: string, signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) await world.clock.sleep(10);
      await world.clock.sleep(300);
      order.push(`${what} ended, ${(await world.lease())?.id}`);
    };
    a.onPromote(({ signal }) => linger('hook', signal));
    a.onDemote(async () => void order.push(`demoted, ${(await world.lease())?.id}`));
    await world.start(a);
    const { lastHeartbeat } = a.status();
    await world.clock.advance(1100);
    expect(a.status().lastHeartbeat).toBeGreaterThan((lastHeartbeat ?? Number.NaN) + 500);
    const led = a.lead(({ signal }) => linger('work', signal));
    await world.clock.advance(10);
    await world.stop(a);
    await led;
    expect([order.slice(0, 2).sort(), order.slice(2)]).toEqual([['hook ended, a', 'work ended, a'], ['demoted, a']]);
    expect(await world.lease()).toBeUndefined();
  });

  it('that throw are contained: promote is logged, demote leaves the lease to run out', async () => {
    const world = new World();
    const a = world.make('a');
    a.onPromote(() => {
      throw new Error('promote');
    });
    a.onDemote(() => {
      throw new Error('demote');
    });
    await world.start(a);
    expect([a.isLeader, world.said('onpromote_callback_panic')]).toEqual([true, 1]);
    await world.stop(a);
    expect(world.said('ondemote_callback_failed')).toBe(1);
    expect(await world.lease()).toMatchObject({ id: 'a' });
  });

  it('may be several, and are no longer called once unregistered', async () => {
    const world = new World();
    const a = world.make('a');
    const calls: string[] = [];
    a.onPromote(() => void calls.push('one'));
    const forget = a.onPromote(() => void calls.push('two'));
    await world.start(a);
    forget();
    await Promise.all([a.stepDown({ holdOffMs: 100 }), world.clock.advance(10)]);
    await world.clock.advance(500);
    expect(calls).toEqual(['one', 'two', 'one']);
    await world.stop(a);
  });
});
