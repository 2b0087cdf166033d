import { type CanopyError, hasCode } from '@canopy/core';
import { describe, expect, it } from 'vitest';
import type { ElectionEvent } from '../src/index.ts';
import { TTL, world } from './elections.ts';

describe('Election', () => {
  it('leads an empty group and renews for many ttls in one term', async () => {
    const { clock, make, start, metric } = world();
    const a = await start(make('a'));
    expect(a.isLeader).toBe(true);
    const { epoch, token } = a.status();
    await clock.advance(20 * TTL);
    expect(a.status()).toMatchObject({ state: 'leader', isLeader: true, epoch, token, leaderId: 'a' });
    expect(metric('election_is_leader', 'a')).toBe(1);
    await a.stop();
    expect(a.status()).toMatchObject({ state: 'stopped', isLeader: false, token: undefined, revision: undefined });
  });

  it('goes on renewing while the hooks of a planned departure run, and lets them see the time they have', async () => {
    const { clock, make, start } = world();
    const a = make('a', { hookTimeout: '30s' });
    const seen: number[] = [];
    a.onDemote(async ({ leadership }) => {
      seen.push(leadership.deadline());
      await clock.sleep(2 * TTL);
      seen.push(leadership.deadline());
      expect(leadership.isValid()).toBe(false);
    });
    await start(a);
    await Promise.all([a.stepDown(), clock.advance(3 * TTL)]);
    const [first, last] = seen as [number, number];
    expect(last - first).toBeGreaterThan(TTL);
    await Promise.all([a.stop(), clock.advance(3 * TTL)]);
  });

  it('hands over on stop: signal, hook, release, then the next with a higher epoch', async () => {
    const { clock, make, start } = world();
    const order: string[] = [];
    const a = make('a');
    const b = make('b');
    for (const e of [a, b]) {
      e.onPromote((l) => void order.push(`${e.instanceId}+${l.isValid()}`));
      e.onDemote(async ({ leadership, reason }) => {
        order.push(`${e.instanceId}-${reason},${leadership.signal.aborted}`);
        await clock.sleep(2 * TTL);
        order.push(`${e.instanceId} done`);
      });
    }
    await start(a);
    await start(b);
    expect([a.isLeader, b.isLeader, b.leaderId]).toEqual([true, false, 'a']);
    const first = a.epoch as number;
    const stopped = a.stop();
    await clock.advance(2 * TTL - 10);
    // The lease outlives its length while the hook runs, because renewals go on.
    expect([a.isLeader, b.isLeader]).toEqual([false, false]);
    await clock.advance(60);
    await stopped;
    expect(b.isLeader).toBe(true);
    expect(b.epoch).toBeGreaterThan(first);
    expect(order).toEqual(['a+true', 'a-stop,true', 'a done', 'b+true']);
    await Promise.all([b.stop(), clock.advance(3 * TTL)]);
  });

  it('says false from the first call after a freeze, before any timer has run', async () => {
    const { clock, make, start } = world();
    const a = await start(make('a'));
    const { leadership } = a;
    // The clock moves without a timer firing: what a process sees that was stopped.
    Object.defineProperty(clock, 'monotonic', { value: () => 1000 + 5 * TTL });
    expect([a.isLeader, leadership?.isValid(), leadership?.signal.aborted]).toEqual([false, false, true]);
    expect(a.leaderId).toBeUndefined();
    expect(a.status()).toMatchObject({ isLeader: false, leaseLeftMs: 0 });
  });

  it('ends the term at its own deadline when the bucket is out of reach, and not before', async () => {
    const { clock, network, make, start, metric } = world();
    const a = await start(make('a', { disconnectGracePeriod: 60_000 }));
    const reasons: string[] = [];
    a.onDemote(({ reason }) => void reasons.push(reason));
    const { leadership } = a;
    network.down = true;
    const left = (leadership?.deadline() ?? 0) - clock.monotonic();
    await clock.advance(left - 1);
    expect([a.isLeader, leadership?.signal.aborted]).toEqual([true, false]);
    await clock.advance(1);
    expect([a.isLeader, leadership?.signal.aborted]).toEqual([false, true]);
    expect(hasCode(leadership?.signal.reason, 'ELECTION_LEADERSHIP_LOST')).toBe(true);
    expect(reasons).toEqual(['lease_expired']);
    expect(metric('election_leases_lost_total', 'a')).toBe(1);
    network.down = false;
    await clock.advance(TTL);
    expect(a.isLeader).toBe(true);
    await a.stop();
  });

  it('keeps the term when answers are lost but writes land', async () => {
    const { clock, network, make, start } = world();
    const a = await start(make('a'));
    const { epoch } = a;
    network.deaf = true;
    await clock.advance(1200);
    network.deaf = false;
    await clock.advance(5 * TTL);
    expect([a.isLeader, a.epoch]).toEqual([true, epoch]);
    await a.stop();
  });

  it('takes over a silent holder after its ttl and not before', async () => {
    const { clock, look, make, start } = world();
    const a = make('a');
    const b = make('b');
    await start(a);
    await start(b);
    // The holder disappears: nothing of it runs any more, its lease stays.
    const observedAt = clock.monotonic();
    const foreign = { id: 'ghost', token: 't' };
    await a.stop({ deleteKey: false });
    const kv = await look();
    const entry = await kv.get('g');
    await kv.update('g', new TextEncoder().encode(JSON.stringify(foreign)), entry?.revision as number);
    await clock.advance(TTL - 1);
    expect([b.isLeader, b.leaderId]).toEqual([false, 'ghost']);
    await clock.advance(100);
    expect(b.isLeader).toBe(true);
    expect(clock.monotonic() - observedAt).toBeLessThan(TTL + 200);
    await b.stop();
  });

  it('hands off to the one that is named', async () => {
    const { clock, make, start } = world();
    const [a, b, c] = [make('a'), make('b'), make('c')];
    for (const e of [a, b, c]) await start(e);
    const done = a.handoff('c');
    await clock.advance(1);
    await done;
    await clock.advance(5);
    expect([a.isLeader, b.isLeader, c.isLeader]).toEqual([false, false, true]);
    for (const e of [a, b, c]) await Promise.all([e.stop(), clock.advance(10)]);
  });

  it('lets others take over when the named one is not there', async () => {
    const { clock, make, start } = world();
    const [a, b] = [make('a'), make('b')];
    for (const e of [a, b]) await start(e);
    await Promise.all([a.handoff('nobody'), clock.advance(1)]);
    await clock.advance(400);
    expect(b.isLeader).toBe(false);
    await clock.advance(200);
    expect(b.isLeader).toBe(true);
    await Promise.all([b.stop(), a.stop(), clock.advance(10)]);
  });

  it('hands back to one that has just stepped down itself', async () => {
    const { clock, make, start } = world();
    const [a, b] = [make('a'), make('b')];
    for (const e of [a, b]) await start(e);
    for (const [from, to] of [
      [a, b],
      [b, a],
      [a, b],
    ] as const) {
      await Promise.all([from.handoff(to.instanceId), clock.advance(1)]);
      await clock.advance(5);
      expect([from.isLeader, to.isLeader]).toEqual([false, true]);
    }
    await expect(b.handoff('b')).rejects.toMatchObject({ code: 'ELECTION_HANDOFF_TARGET' });
    await Promise.all([a.stop(), b.stop(), clock.advance(10)]);
  });

  it('ends the term when the machine has slept: the wall clock is far ahead of the monotonic one', async () => {
    const { clock, make, start } = world();
    const a = await start(make('a'));
    const { leadership } = a;
    clock.stepWall(-60_000);
    await clock.advance(1500);
    expect(leadership?.signal.aborted).toBe(false);
    clock.stepWall(60_000);
    await clock.advance(1500);
    expect(leadership?.signal.aborted).toBe(true);
    await Promise.all([a.stop(), clock.advance(10)]);
  });

  it('does not win at once after a step-down, but does when nobody else wants it', async () => {
    const { clock, make, start } = world();
    const a = await start(make('a'));
    const first = a.epoch as number;
    await Promise.all([a.stepDown({ holdOffMs: 700 }), clock.advance(1)]);
    await clock.advance(600);
    expect(a.isLeader).toBe(false);
    await clock.advance(200);
    expect(a.isLeader).toBe(true);
    expect(a.epoch).toBeGreaterThan(first);
    await a.stop();
    await expect(a.stepDown()).rejects.toMatchObject({ code: 'ELECTION_NOT_LEADER' });
  });

  it('leaves the lease to run out when a demote hook does not end', async () => {
    const { clock, make, start, lease, lines } = world();
    const a = make('a', { hookTimeout: 500 });
    a.onDemote(() => new Promise(() => {}));
    await start(a);
    const stopped = a.stop();
    await clock.advance(501);
    await stopped;
    expect(await lease()).toMatchObject({ id: 'a' });
    expect(lines.some((line) => line.event === 'ondemote_callback_timeout')).toBe(true);
  });

  it('gives the present state first, then the changes', async () => {
    const { clock, make, start } = world();
    const a = await start(make('a'));
    const seen: ElectionEvent[] = [];
    const reading = (async () => {
      for await (const event of a.watch()) seen.push(event);
    })();
    await Promise.all([a.stop(), clock.advance(10)]);
    await reading;
    expect(seen.map((event) => [event.state, event.reason])).toEqual([
      ['leader', 'acquired'],
      ['demoted', 'stop'],
      ['stopped', 'stop'],
    ]);
  });

  it('runs work only under a term and aborts it in time', async () => {
    const { clock, make, start } = world();
    const a = make('a');
    const result = a.lead(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      return (signal.reason as CanopyError).code;
    });
    await start(a);
    await Promise.all([a.stop(), clock.advance(10)]);
    expect(await result).toBe('ELECTION_LEADERSHIP_LOST');
    await expect(a.waitForLeadership()).rejects.toMatchObject({ code: 'ELECTION_STOPPED' });
  });

  it('bounds the wait for leadership', async () => {
    const { clock, make, start } = world();
    const a = await start(make('a'));
    const b = await start(make('b'));
    const waiting = b.waitForLeadership({ timeout: 500 });
    waiting.catch(() => {});
    await clock.advance(500);
    await expect(waiting).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await Promise.all([a.stop(), b.stop(), clock.advance(10)]);
  });

  it('never writes a token to the log', async () => {
    const { clock, make, start, lines } = world();
    const a = await start(make('a'));
    const token = a.status().token as string;
    await Promise.all([a.stop(), clock.advance(10)]);
    expect(token).toHaveLength(36);
    expect(JSON.stringify(lines)).not.toContain(token);
  });

  it('takes a bucket that keeps entries longer, or for ever', async () => {
    for (const ttlMs of [0, 60_000]) {
      const { clock, hub, make, start } = world();
      await hub.session().ensureKv('elections', { ttlMs });
      const a = await start(make('a'));
      expect(a.isLeader).toBe(true);
      await Promise.all([a.stop(), clock.advance(10)]);
    }
  });

  it('leads on through a short disconnect, and verifies by a renewal at once', async () => {
    const { clock, sessions, make, start } = world();
    const a = await start(make('a'));
    const { leadership } = a;
    sessions.get('a')?.cut();
    await clock.advance(500);
    expect([a.isLeader, a.status().connected]).toEqual([true, false]);
    const before = leadership?.deadline() as number;
    sessions.get('a')?.heal();
    await clock.advance(5);
    expect([a.isLeader, a.status().connected]).toEqual([true, true]);
    expect(leadership?.deadline()).toBeGreaterThan(before);
    await Promise.all([a.stop(), clock.advance(10)]);
  });

  it('gives up after the grace of a longer one, and follows whoever took over', async () => {
    const { clock, sessions, make, start, lines, metric } = world();
    const a = await start(make('a', { disconnectGracePeriod: 2000 }));
    const b = await start(make('b'));
    sessions.get('a')?.cut();
    await clock.advance(2001);
    expect([a.isLeader, a.status().state]).toEqual([false, 'candidate']);
    expect(lines.find((line) => line.event === 'leader_demoted')?.fields).toMatchObject({ reason: 'connection_loss' });
    expect(metric('election_connection_status', 'a')).toBe(0);
    await clock.advance(2 * TTL);
    expect(b.isLeader).toBe(true);
    sessions.get('a')?.heal();
    await clock.advance(TTL);
    expect([a.isLeader, a.leaderId, b.isLeader]).toEqual([false, 'b', true]);
    await Promise.all([a.stop(), b.stop(), clock.advance(20)]);
  });

  it('counts what it did', async () => {
    const { clock, make, start, metric } = world();
    const a = await start(make('a'));
    await clock.advance(3000);
    expect(metric('election_acquire_attempts_total', 'a', { status: 'success' })).toBe(1);
    expect(metric('election_heartbeat_duration_seconds', 'a', { status: 'success' })).toBe(3);
    expect(metric('election_transitions_total', 'a', { from_state: 'candidate', to_state: 'leader' })).toBe(1);
    expect(metric('election_lease_left_seconds', 'a')).toBeCloseTo(2.7, 1);
    await Promise.all([a.stop(), clock.advance(10)]);
    expect(metric('election_leader_duration_seconds', 'a')).toBe(1);
    expect(metric('election_is_leader', 'a')).toBeUndefined();
  });

  it('gives up when a look at the lease finds another', async () => {
    const { clock, hub, look, make, start } = world();
    const a = await start(make('a'));
    expect(await a.validateToken()).toBe(true);
    // A watch that says nothing: the look is the first to know.
    const { fault } = hub;
    hub.fault = (call) => (call.operation === 'deliver' ? { delayMs: 60_000 } : fault?.(call));
    const kv = await look();
    const entry = await kv.get('g');
    await kv.update('g', new TextEncoder().encode('{"id":"x","token":"y"}'), entry?.revision as number);
    expect([a.isLeader, await a.validateTokenOrDemote(), a.isLeader]).toEqual([true, false, false]);
    await Promise.all([a.stop(), clock.advance(100)]);
  });

  it('refuses a bucket that drops entries before a lease ends', async () => {
    const { hub, make } = world();
    await hub.session().ensureKv('elections', { ttlMs: 1000 });
    await expect(make('a').start()).rejects.toMatchObject({ code: 'ELECTION_BUCKET_TTL' });
  });
});
