/** Timeouts of hooks: what is waited for, for how long, and what becomes of the lease. */
import { describe, expect, it } from 'vitest';
import { TTL, World } from './world.ts';

const never = (): Promise<void> => new Promise(() => {});

describe('a hook with a timeout of its own', () => {
  it('that promotes may run for the whole term, and is waited for that long after its signal', async () => {
    const world = new World();
    const a = world.make('a');
    const begun: string[] = [];
    a.onPromote(never, { timeout: '400ms' });
    a.onDemote(() => void begun.push('demote'));
    await world.start(a);
    await world.clock.advance(5 * TTL);
    expect(a.isLeader).toBe(true);
    void a.stop();
    await world.clock.advance(399);
    expect([begun, world.said('onpromote_callback_timeout')]).toEqual([[], 0]);
    await world.clock.advance(2);
    // The demote hooks run all the same, and the lease is left to run out, since the work may go on.
    expect([begun, world.said('onpromote_callback_timeout')]).toEqual([['demote'], 1]);
    expect(await world.lease()).toMatchObject({ id: 'a' });
    await world.stop(a);
  });

  it('that demotes is waited for that long from its begin; the others go on to theirs', async () => {
    const world = new World();
    const a = world.make('a', { hookTimeout: '300ms' });
    let slow = false;
    a.onPromote(({ signal }) => world.clock.sleep(60_000, { signal }).catch(() => world.clock.sleep(200)));
    a.onDemote(never);
    a.onDemote(
      () =>
        world.clock.sleep(900).then(() => {
          slow = true;
        }),
      { timeout: '1s' },
    );
    await world.start(a);
    let stopped = false;
    const stopping = a.stop().then(() => {
      stopped = true;
    });
    await world.clock.advance(450);
    expect(world.said('ondemote_callback_timeout')).toBe(0);
    await world.clock.advance(100);
    expect([world.said('ondemote_callback_timeout'), slow, stopped]).toEqual([1, false, false]);
    await world.clock.advance(600);
    await stopping;
    expect([slow, world.said('ondemote_callback_timeout')]).toEqual([true, 1]);
    expect(await world.lease()).toMatchObject({ id: 'a' });
  });

  it('that ends in time lets the lease go, however much longer others may take', async () => {
    const world = new World();
    const a = world.make('a', { hookTimeout: '100ms' });
    a.onDemote(() => world.clock.sleep(5000), { timeout: '6s' });
    await world.start(a);
    const stopping = a.stop();
    await world.clock.advance(5100);
    await stopping;
    expect(await world.lease()).toBeUndefined();
  });

  it('that never ends does not hold up the next term: this instance stands again after its timeout', async () => {
    const world = new World();
    const a = world.make('a', { holdOff: 0 });
    const epochs: number[] = [];
    a.onPromote(({ epoch }) => void epochs.push(epoch));
    a.onPromote(never, { timeout: 500 });
    await world.start(a);
    const down = expect(a.stepDown({ holdOffMs: 0 })).rejects.toMatchObject({ code: 'ELECTION_NOT_RELEASED' });
    await world.clock.advance(500 + 2 * TTL);
    await down;
    expect([a.isLeader, epochs.length]).toEqual([true, 2]);
    await world.stop(a);
  });

  it('is refused when the timeout is none', () => {
    const a = new World().make('a');
    for (const register of [a.onPromote, a.onDemote])
      expect(() => register.call(a, never, { timeout: 'soon' })).toThrowError(
        expect.objectContaining({ code: 'OPTIONS_INVALID' }),
      );
  });
});
