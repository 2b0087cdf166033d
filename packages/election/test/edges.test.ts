/** Calls at the edges of a life: before the start, after the end, under a term that is ending, with odd arguments. */
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { EPOCH_MAX } from '../src/lease/lease-value.ts';
import { TTL, World } from './world.ts';

describe('an election that was never started', () => {
  it('ends its waiters and watchers when it is stopped, and refuses later ones', async () => {
    const world = new World();
    const a = world.make('a');
    const waiting = a.waitForLeadership().catch((error: { code: string }) => error.code);
    const states: string[] = [];
    const watching = (async () => {
      for await (const { state } of a.watch()) states.push(state);
    })();
    await a.stop();
    expect(await waiting).toBe('ELECTION_STOPPED');
    await watching;
    expect([states.at(-1), a.status().state]).toEqual(['stopped', 'stopped']);
    await expect(a.waitForLeadership()).rejects.toMatchObject({ code: 'ELECTION_STOPPED' });
    await expect(a.lead(async () => {})).rejects.toMatchObject({ code: 'ELECTION_STOPPED' });
    for await (const { state } of a.watch()) expect(state).toBe('stopped');
  });
});

describe('lead', () => {
  it('never begins work under a term that ended as it began', async () => {
    const world = new World();
    const [a, b] = [world.make('a', { holdOff: 5000 }), world.make('b')];
    a.onPromote(() => void a.stepDown().catch(() => {}));
    const begun: [boolean, boolean][] = [];
    const working = a.lead(async (leadership) => {
      begun.push([leadership.isValid(), b.isLeader]);
      await world.clock.sleep(800);
    });
    working.catch(() => {});
    await world.start(a);
    await world.start(b);
    await world.clock.advance(3 * TTL);
    expect(begun.every(([valid, other]) => valid && !other)).toBe(true);
    await world.stop(a, b);
  });

  it('waits for the next term when the one that it was told of has ended, and its time goes on', async () => {
    const world = new World();
    const a = world.make('a', { holdOff: 1000 });
    const forget = a.onPromote(() => void a.stepDown({ holdOffMs: 1000 }).catch(() => {}));
    let runs = 0;
    const working = a.lead(async (leadership) => {
      runs += 1;
      return leadership.isValid();
    });
    await world.start(a);
    forget();
    await world.clock.advance(3000);
    expect([await working, runs]).toEqual([true, 1]);
    await world.stop(a);
  });

  it('runs nothing for a signal that has aborted, also when it leads already', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    let ran = false;
    const signal = AbortSignal.abort(new Error('no'));
    const work = async (): Promise<void> => {
      ran = true;
    };
    await expect(a.lead(work, { signal })).rejects.toThrow('no');
    expect(ran).toBe(false);
    const { signal: living } = new AbortController();
    await a.lead(async () => {}, { signal: living });
    expect(getEventListeners(living, 'abort')).toHaveLength(0);
    await world.stop(a);
  });
});

describe('a process that was frozen past its deadline', () => {
  /** The clock moves without a timer firing. */
  function freeze(world: World): void {
    const wakesAt = world.clock.monotonic() + 5 * TTL;
    Object.defineProperty(world.clock, 'monotonic', { value: () => wakesAt });
  }

  it('hears so from the signal, whatever it asks first', async () => {
    for (const ask of ['aborted', 'reason', 'throwIfAborted'] as const) {
      const world = new World();
      const a = await world.start(world.make('a'));
      const signal = a.leadership?.signal as AbortSignal;
      const derived = AbortSignal.any([signal]);
      let heard = 0;
      signal.addEventListener('abort', () => {
        heard += 1;
      });
      expect([signal.aborted, signal.reason]).toEqual([false, undefined]);
      signal.throwIfAborted();
      freeze(world);
      if (ask === 'aborted') expect(signal.aborted).toBe(true);
      else if (ask === 'reason') expect(signal.reason).toMatchObject({ code: 'ELECTION_LEADERSHIP_LOST' });
      else expect(() => signal.throwIfAborted()).toThrow(/lease_expired/);
      expect([signal.aborted, heard, derived.aborted]).toEqual([true, 1, true]);
      expect(AbortSignal.any([signal]).aborted).toBe(true);
    }
  });

  it('hears so from the status and the gauges', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    expect(a.status().state).toBe('leader');
    freeze(world);
    expect(a.status()).toMatchObject({ state: 'demoted', isLeader: false });
    expect([world.metric('election_is_leader', 'a'), world.metric('election_lease_left_seconds', 'a')]).toEqual([0, 0]);
  });
});

describe('the gauges', () => {
  it('say 0 while hooks run on after the term, and nothing after a stop that did not wait for them', async () => {
    const world = new World();
    const a = world.make('a', { hookTimeout: 60_000 });
    a.onDemote(() => world.clock.sleep(TTL));
    await world.start(a);
    const leaving = a.stepDown({ holdOffMs: 0 });
    await world.clock.advance(TTL - 10);
    expect([(await world.lease())?.id, world.metric('election_lease_left_seconds', 'a')]).toEqual(['a', 0]);
    await world.clock.advance(TTL);
    await leaving;
    expect(a.isLeader).toBe(true);
    await a.stop({ waitForDemote: false });
    await world.clock.advance(TTL - 10);
    expect(world.metric('election_lease_left_seconds', 'a')).toBeUndefined();
    await world.clock.advance(2 * TTL);
  });
});

describe('giving up', () => {
  it.each(['stepDown', 'handoff'] as const)('%s rejects when the lease could not be released', async (call) => {
    const world = new World();
    const a = await world.start(world.make('a'));
    world.hub.fault = ({ operation }) => (operation === 'deliver' ? undefined : { outcome: 'fail' });
    const leaving = (call === 'stepDown' ? a.stepDown() : a.handoff('b')).catch(
      (error: { code: string }) => error.code,
    );
    await world.clock.advance(4 * TTL);
    expect([await leaving, a.isLeader]).toEqual(['ELECTION_NOT_RELEASED', false]);
    world.hub.fault = undefined;
    await world.stop(a);
  });

  it('rejects when a hook failed, so that the lease has to run out', async () => {
    const world = new World();
    const a = world.make('a');
    a.onDemote(() => Promise.reject(new Error('no')));
    await world.start(a);
    await expect(a.stepDown()).rejects.toMatchObject({ code: 'ELECTION_NOT_RELEASED' });
    await world.stop(a);
  });

  it('refuses arguments that are none, and leads on', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    const odd = [
      () => a.handoff(undefined as unknown as string),
      () => a.handoff('i'.repeat(300)),
      () => a.handoff('b', { holdOffMs: Number.NaN }),
      () => a.stepDown({ holdOffMs: Number.NaN }),
      () => a.stepDown({ holdOffMs: -1 }),
      () => a.stepDown({ holdOf: 1 } as object),
      () => a.stepDown(null as unknown as object),
      () => a.waitForLeadership({ timeout: Number.NaN }),
      () => a.waitForLeadership({ timeout: 2 ** 40 }),
      () => a.lead(async () => {}, { signal: {} as AbortSignal }),
    ];
    for (const call of odd) await expect(call()).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    expect(a.isLeader).toBe(true);
    await world.stop(a);
  });
});

describe('an epoch that no other could follow', () => {
  it('in a value is waited out like any that is no lease, and epochs go on growing', async () => {
    const world = new World();
    const a = await world.start(world.make('a'));
    const first = a.epoch as number;
    await world.stop(a);
    await world.overwrite(JSON.stringify({ id: 'x', token: 't', epoch: Number.MAX_SAFE_INTEGER, released: true }));
    const seen: number[] = [first];
    for (const id of ['b', 'c', 'd']) {
      const next = await world.start(world.make(id));
      await world.clock.advance(TTL + 100);
      seen.push(next.epoch as number);
      await world.stop(next);
    }
    expect(seen.slice(1).every((epoch, i) => epoch > (seen[i] as number))).toBe(true);
    expect(seen.at(-1)).toBeLessThan(EPOCH_MAX);
  });
});

describe('the session', () => {
  it('that is closed under the election ends it, with an error that says so', async () => {
    const world = new World();
    const [a, b] = [await world.start(world.make('a')), await world.start(world.make('b'))];
    const waiting = b.waitForLeadership().catch((error: { code: string }) => error.code);
    await world.sessions.get('a')?.close();
    await world.sessions.get('b')?.close();
    await world.clock.advance(20_000);
    expect([a.state, a.isLeader, b.state, await waiting]).toEqual(['failed', false, 'failed', 'ELECTION_STOPPED']);
    expect(await a.closed).toMatchObject({ code: 'ELECTION_CONNECTION_CLOSED' });
    await world.stop(a, b);
  });
});
