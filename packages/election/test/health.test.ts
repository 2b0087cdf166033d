import { describe, expect, it } from 'vitest';
import { TTL, World } from './world.ts';

/** A checker that does what it is told. */
function patient() {
  const state = { healthy: true as boolean | 'hangs' | 'throws', calls: 0, signals: [] as AbortSignal[] };
  const check = ({ signal }: { signal: AbortSignal }): boolean | Promise<boolean> => {
    state.calls += 1;
    state.signals.push(signal);
    if (state.healthy === 'hangs') return new Promise(() => {});
    if (state.healthy === 'throws') throw new Error('no database');
    return state.healthy;
  };
  return { state, check };
}

describe('the health checker', () => {
  it('is asked before each heartbeat, and not of a follower', async () => {
    const world = new World();
    const { state, check } = patient();
    const a = await world.start(world.make('a', { healthChecker: { check } }));
    const idle = patient();
    const b = await world.start(world.make('b', { healthChecker: idle.check }));
    await world.clock.advance(3000);
    expect(state.calls).toBe(3);
    expect(idle.state.calls).toBe(0);
    await world.stop(a, b);
  });

  it.each([false, 'hangs', 'throws'] as const)(
    'that says %s three times ends the term and releases it',
    async (answer) => {
      const world = new World();
      const { state, check } = patient();
      const a = await world.start(world.make('a', { healthChecker: check }));
      const b = await world.start(world.make('b'));
      const reasons: string[] = [];
      a.onDemote(({ reason }) => void reasons.push(reason));
      state.healthy = answer;
      await world.clock.advance(2500);
      // Two failures: it leads on, and the lease is renewed all the same.
      expect([a.isLeader, state.calls >= 2]).toEqual([true, true]);
      expect(a.status().leaseLeftMs).toBeGreaterThan(TTL / 2);
      await world.clock.advance(1000);
      expect([a.isLeader, b.isLeader, reasons]).toEqual([false, true, ['health_check_failure']]);
      expect(world.said('demoting_due_to_health_check_failure')).toBe(1);
      await world.stop(a, b);
    },
  );

  it('that hangs is given up after 100 ms, with its signal aborted', async () => {
    const world = new World();
    const { state, check } = patient();
    const a = await world.start(world.make('a', { healthChecker: check }));
    state.healthy = 'hangs';
    while (state.calls === 0) await world.clock.advance(10);
    await world.clock.advance(80);
    expect(state.signals.at(-1)?.aborted).toBe(false);
    await world.clock.advance(20);
    expect(state.signals.at(-1)?.aborted).toBe(true);
    expect(world.said('health_check_failed')).toBe(1);
    await world.stop(a);
  });

  it('that hangs is not asked without end, and again once one of its checks has ended', async () => {
    const world = new World();
    const hanging: (() => void)[] = [];
    let most = 0;
    const check = async (): Promise<boolean> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      hanging.push(resolve);
      most = Math.max(most, hanging.length);
      await promise;
      return true;
    };
    const a = await world.start(world.make('a', { healthChecker: check }));
    await world.clock.advance(60_000);
    expect([a.isLeader, most]).toEqual([false, 10]);
    for (let i = 0; i < 3 && !a.isLeader; i++) {
      for (const end of hanging.splice(0)) end();
      await world.clock.advance(50);
      for (const end of hanging.splice(0)) end();
      await world.clock.advance(1000);
    }
    const before = hanging.length;
    await world.clock.advance(3000);
    expect(hanging.length).toBeGreaterThan(before);
    for (const end of hanging) end();
    await world.stop(a);
  });

  it('starts counting anew after a success', async () => {
    const world = new World();
    const { state, check } = patient();
    const a = await world.start(world.make('a', { healthChecker: check, maxConsecutiveFailures: 2 }));
    for (let i = 0; i < 5; i++) {
      state.healthy = false;
      await world.clock.advance(1000);
      state.healthy = true;
      await world.clock.advance(1000);
    }
    expect(a.isLeader).toBe(true);
    expect(world.said('health_check_recovered')).toBeGreaterThanOrEqual(4);
    await world.stop(a);
  });

  it('keeps the instance from standing again until it is well', async () => {
    const world = new World();
    const { state, check } = patient();
    const a = await world.start(world.make('a', { healthChecker: check, maxConsecutiveFailures: 1 }));
    state.healthy = false;
    await world.clock.advance(1200);
    expect(a.isLeader).toBe(false);
    // Nobody else wants the lease, for many hold-offs.
    await world.clock.advance(10 * TTL);
    expect([a.isLeader, await world.lease()]).toEqual([false, undefined]);
    state.healthy = true;
    await world.clock.advance(4000);
    expect(a.isLeader).toBe(true);
    await world.stop(a);
  });
});
