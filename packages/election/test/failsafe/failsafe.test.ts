/** Failsafe from option to term, over the memory twin on a virtual clock: a bucket without quorum, a bus that works or not. */
import { describe, expect, it } from 'vitest';
import type { Election, ElectionOptions } from '../../src/index.ts';
import { TTL, World } from '../world.ts';

const LIMIT = 5 * TTL;

class FailsafeWorld extends World {
  /** The bucket has no quorum: whatever is asked of it fails. */
  quorum = true;

  constructor() {
    super();
    this.hub.fault = ({ port, operation }) =>
      port === 'kv' && operation !== 'deliver' && !this.quorum ? { outcome: 'fail' } : undefined;
  }

  candidate(id: string, options: Partial<ElectionOptions> = {}): Promise<Election> {
    return this.start(this.make(id, { failsafe: { limit: LIMIT }, ...options }));
  }

  /** a leads, and every candidate is listed. */
  async led(...others: readonly string[]): Promise<[Election, ...Election[]]> {
    const a = await this.candidate('a');
    await this.clock.advance(1.2 * LIMIT);
    expect(a.isLeader).toBe(true);
    const rest: Election[] = [];
    for (const id of others) rest.push(await this.candidate(id));
    await this.clock.advance(2 * TTL);
    expect((await this.lease())?.failsafe?.peers).toHaveLength(1 + others.length);
    return [a, ...rest];
  }
}

describe('failsafe', () => {
  it('keeps the term while the bucket has no quorum and every candidate answers', async () => {
    const world = new FailsafeWorld();
    const [a, b, c] = await world.led('b', 'c');
    const { epoch, signal, token } = a.leadership as NonNullable<Election['leadership']>;
    world.quorum = false;
    for (let waited = 0; waited < 3 * TTL; waited += 100) {
      await world.clock.advance(100);
      expect([a.isLeader, b?.isLeader, c?.isLeader]).toEqual([true, false, false]);
    }
    expect([world.said('failsafe_engaged'), a.status().failsafe, b?.status().failsafe]).toEqual([1, true, false]);
    expect([world.metric('election_failsafe', 'a'), world.metric('election_failsafe', 'b')]).toEqual([1, 0]);
    world.quorum = true;
    await world.clock.advance(2 * TTL);
    expect(world.metric('election_failsafe', 'a')).toBe(0);
    expect(a.status().failsafe).toBe(false);
    expect([a.isLeader, a.epoch, signal.aborted, (await world.lease())?.token]).toEqual([true, epoch, false, token]);
    expect(world.said('failsafe_ended')).toBe(1);
    await world.stop(a, b as Election, c as Election);
  });

  it('ends at its limit', async () => {
    const world = new FailsafeWorld();
    const [a, b] = await world.led('b');
    world.quorum = false;
    await world.clock.advance(0.7 * LIMIT);
    expect(a.isLeader).toBe(true);
    await world.clock.advance(0.3 * LIMIT);
    expect([a.isLeader, world.metric('election_failsafe', 'a')]).toEqual([false, 0]);
    world.quorum = true;
    await world.clock.advance(4 * TTL);
    expect([a.isLeader, b?.isLeader].filter(Boolean)).toHaveLength(1);
    await world.stop(a, b as Election);
  });

  it('does not help a holder that one listed candidate does not answer', async () => {
    const world = new FailsafeWorld();
    const [a, b, c] = await world.led('b', 'c');
    world.sessions.get('c')?.cut();
    world.quorum = false;
    await world.clock.advance(TTL);
    expect(a.isLeader).toBe(false);
    expect(world.said('failsafe_engaged')).toBe(0);
    world.quorum = true;
    world.sessions.get('c')?.heal();
    await world.clock.advance(4 * TTL);
    await world.stop(a, b as Election, c as Election);
  });

  it('does not help a holder that is cut off from everybody', async () => {
    const world = new FailsafeWorld();
    const [a, b] = await world.led('b');
    const deadline = a.leadership?.deadline() ?? 0;
    world.sessions.get('a')?.cut();
    await world.clock.advance(deadline - world.clock.monotonic() + 1);
    expect(a.isLeader).toBe(false);
    await world.clock.advance(TTL);
    expect(b?.isLeader).toBe(true);
    await world.stop(a, b as Election);
  });

  it('stays off where somebody leads who knows nothing of it', async () => {
    const world = new FailsafeWorld();
    const stranger = await world.start(world.make('stranger', { bucketTtl: 0 }));
    const a = await world.candidate('a');
    const b = await world.candidate('b');
    await world.stop(stranger);
    await world.clock.advance(4 * TTL);
    const leader = a.isLeader ? a : b;
    expect((await world.lease())?.failsafe).toBeUndefined();
    world.quorum = false;
    await world.clock.advance(TTL);
    expect(leader.isLeader).toBe(false);
    world.quorum = true;
    await world.stop(a, b);
  });

  it('has a candidate without it wait for the limit over a lease that may go on', async () => {
    const world = new FailsafeWorld();
    const [a] = await world.led();
    const plain = await world.start(world.make('plain'));
    world.sessions.get('a')?.cut();
    await world.clock.advance(LIMIT - TTL);
    expect([a.isLeader, plain.isLeader]).toEqual([false, false]);
    await world.clock.advance(2 * TTL);
    expect(plain.isLeader).toBe(true);
    await world.stop(a, plain);
  });

  it('hands over at once on a stop, to a candidate old or new', async () => {
    const world = new FailsafeWorld();
    const [a, b] = await world.led('b');
    await world.stop(a);
    expect(b?.isLeader).toBe(true);
    await world.stop(b as Election);
    // The value that was released tells a newcomer that nobody leads.
    const c = await world.candidate('c');
    expect(c.isLeader).toBe(true);
    await world.stop(c);
  });

  it('tells the watchdog each deadline that promises give', async () => {
    const world = new FailsafeWorld();
    const told: number[] = [];
    const watchdog = {
      hold: async ({ deadline }: { deadline: number }) => void told.push(deadline),
      clear: async () => {},
      lost: new AbortController().signal,
    };
    const a = await world.candidate('a', { watchdog });
    await world.clock.advance(1.2 * LIMIT);
    const b = await world.candidate('b');
    await world.clock.advance(2 * TTL);
    world.quorum = false;
    await world.clock.advance(2 * TTL);
    expect(told.at(-1)).toBe(a.leadership?.deadline());
    expect(told.at(-1)).toBeGreaterThan(world.clock.monotonic());
    world.quorum = true;
    await world.clock.advance(TTL);
    await world.stop(a, b);
  });
});
