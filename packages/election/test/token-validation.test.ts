import { describe, expect, it } from 'vitest';
import { TTL, World } from './world.ts';

/** A world whose watches say nothing, so that only looks find things out. */
function silentWorld(): World {
  const world = new World();
  world.hub.fault = (call) => (call.operation === 'deliver' ? { delayMs: 600_000 } : undefined);
  return world;
}

describe('validateToken', () => {
  it.each([
    ['another token', (token: string) => `{"id":"a","token":"${token}x"}`],
    ['another leader', (token: string) => `{"id":"b","token":"${token}"}`],
    ['a value without a token', () => '{"id":"a"}'],
    ['a token that is no text', () => '{"id":"a","token":7}'],
    ['a value without an id', (token: string) => `{"token":"${token}"}`],
    ['bad JSON', () => '{"id":'],
    ['an empty value', () => ''],
  ])('is false for %s, and validateTokenOrDemote gives up', async (_what, value) => {
    const world = silentWorld();
    const a = await world.start(world.make('a'));
    expect(await a.validateToken()).toBe(true);
    const { token = '' } = a.status();
    const reasons: string[] = [];
    a.onDemote(({ reason }) => void reasons.push(reason));
    await world.overwrite(value(token));
    expect([await a.validateToken(), a.isLeader]).toEqual([false, true]);
    expect([await a.validateTokenOrDemote(), a.isLeader]).toEqual([false, false]);
    await world.clock.advance(1);
    expect(reasons).toEqual(['token_validation_failure']);
    expect(world.metric('election_token_validation_failures_total', 'a')).toBe(2);
    await world.stop(a);
  });

  it('is false for a key that is gone, and without a look when not leader', async () => {
    const world = silentWorld();
    const a = await world.start(world.make('a'));
    const kv = await world.kv();
    await kv.delete('g', (await kv.get('g'))?.revision as number);
    expect(await a.validateToken()).toBe(false);
    const b = world.make('b');
    expect([await b.validateToken(), await b.validateTokenOrDemote()]).toEqual([false, false]);
    await world.stop(a);
  });

  it('rejects when the bucket does not answer in time; validateTokenOrDemote gives up', async () => {
    const world = silentWorld();
    const a = await world.start(world.make('a'));
    world.hub.fault = (call) => (call.operation === 'get' ? { outcome: 'request-lost' } : undefined);
    const looked = a.validateToken({ timeoutMs: 200 }).catch((error: Error & { code?: string }) => error.code);
    await world.clock.advance(201);
    expect([await looked, a.isLeader]).toEqual(['DEADLINE_EXCEEDED', true]);
    const demoted = a.validateTokenOrDemote({ timeoutMs: 200 });
    await world.clock.advance(201);
    expect([await demoted, a.isLeader]).toEqual([false, false]);
    await world.stop(a);
  });
});

describe('periodic validation', () => {
  it('gives up within the interval when the lease carries another token', async () => {
    const world = silentWorld();
    const a = await world.start(world.make('a', { ttl: 30_000, heartbeatInterval: 1000, validationInterval: 1000 }));
    // Renewals that never arrive, so that only the looks can tell.
    await world.overwrite('{"id":"b","token":"t"}');
    world.hub.fault = (call) => (call.operation === 'update' ? { outcome: 'request-lost' } : undefined);
    const reasons: string[] = [];
    a.onDemote(({ reason }) => void reasons.push(reason));
    await world.clock.advance(1100);
    expect([a.isLeader, reasons]).toEqual([false, ['token_validation_failure']]);
    expect(world.said('demoting_due_to_validation_failure')).toBe(1);
    await world.stop(a);
  });

  it('changes nothing when it gets no answer: the lease decides', async () => {
    const world = silentWorld();
    const a = await world.start(world.make('a', { validationInterval: 1000 }));
    let looks = 0;
    world.hub.fault = (call) => {
      if (call.operation !== 'get') return undefined;
      looks += 1;
      return looks > 3 ? undefined : { outcome: 'fail' };
    };
    await world.clock.advance(3 * TTL);
    expect(looks).toBeGreaterThan(5);
    expect(a.isLeader).toBe(true);
    expect(world.metric('election_token_validation_failures_total', 'a')).toBe(3);
    expect(world.said('token_validation_recovered')).toBe(1);
    await world.stop(a);
  });
});
