import { seededRandom } from '@canopy/core/testing';
import { describe, expect, it } from 'vitest';
import type { LeaseValue } from '../../src/lease/lease-value.ts';
import type { Sighting } from '../../src/lease/sighting.ts';
import type { Effect, MachineEvent, MachineState, Rules } from '../../src/machine/state.ts';
import { initialState } from '../../src/machine/state.ts';
import { step, wakeAt } from '../../src/machine/step.ts';
import { simulatedRules } from '../../src/testing/simulated-node.ts';

/** Revisions above it are of a bucket that an election made; the small ones may repeat. */
const R = 1e14;

/** ttl 1000, margin 100, heartbeat 333: one machine, moved by hand. */
class Machine {
  readonly rules: Rules;
  state: MachineState;

  constructor(given: Partial<Rules> = {}) {
    this.rules = simulatedRules('m', { instanceId: 'me', ttlMs: 1000, jitterMs: 0, holdOffMs: 200, ...given });
    this.state = initialState(this.rules);
  }

  feed(now: number, event: MachineEvent): readonly Effect[] {
    const { state, effects } = step(this.rules, this.state, event, now);
    this.state = state;
    return effects;
  }

  at(): [Rules, MachineState] {
    return [this.rules, this.state];
  }

  get op(): number {
    return this.state.flight?.op ?? -1;
  }

  /** Leads from revision 5, written at 0, acknowledged at 10. */
  lead(): this {
    this.feed(0, { type: 'start' });
    this.feed(0, { type: 'read', op: this.op, sighting: undefined });
    this.feed(10, { type: 'written', op: this.op, revision: 5 });
    this.feed(10, { type: 'guarded', token: this.state.term?.token ?? '' });
    expect(this.state.view).toBe('leader');
    return this;
  }

  own(revision: number): Sighting {
    const lease = { id: 'me', token: this.state.term?.token ?? '', priority: 0 };
    return { revision, content: 'lease', lease };
  }
}

const other = (revision: number, extra: Partial<LeaseValue> = {}): Sighting => ({
  revision,
  content: extra.released ? 'released' : 'lease',
  lease: { id: 'other', token: 'o', priority: 0, ...extra },
});
const deleted = (revision: number): Sighting => ({ revision, content: 'deleted', lease: undefined });
const types = (effects: readonly Effect[]): string[] =>
  effects.map(({ type }) => type).filter((type) => !['note', 'count', 'changed'].includes(type));

describe('a holder', () => {
  it('counts its lease from when the write was sent', () => {
    const m = new Machine().lead();
    expect(m.state.term).toMatchObject({ epoch: 5, deadline: 900 });
    m.feed(334, { type: 'tick' });
    m.feed(400, { type: 'written', op: m.op, revision: 6 });
    expect(m.state.term).toMatchObject({ epoch: 5, revision: 6, deadline: 334 + 900 });
  });

  it('is over at its deadline even when the answer that would extend it comes first', () => {
    const m = new Machine().lead();
    m.feed(334, { type: 'tick' });
    const effects = m.feed(900, { type: 'written', op: m.op, revision: 6 });
    expect(types(effects)).toEqual(['demote']);
    expect([m.state.term, m.state.view]).toEqual([undefined, 'demoted']);
  });

  it('reads back after an unknown outcome, adopts the revision of its own write, and gains no time by it', () => {
    const m = new Machine().lead();
    m.feed(334, { type: 'tick' });
    m.feed(500, { type: 'failed', op: m.op });
    expect(types(m.feed(560, { type: 'tick' }))).toEqual(['read']);
    const effects = m.feed(570, { type: 'read', op: m.op, sighting: m.own(6) });
    expect(effects).toContainEqual(expect.objectContaining({ type: 'update', revision: 6 }));
    expect(m.state.term?.deadline).toBe(900);
  });

  it('reads back after a conflict, and is lost when the lease is another one', () => {
    const m = new Machine().lead();
    m.feed(334, { type: 'tick' });
    expect(types(m.feed(340, { type: 'conflict', op: m.op }))).toEqual(['read']);
    expect(m.feed(345, { type: 'read', op: m.op, sighting: other(9) })).toContainEqual(
      expect.objectContaining({ type: 'demote', reason: 'conflict', planned: false }),
    );
  });

  it.each([
    ['conflict', other(6)],
    ['key_deleted', deleted(6)],
    ['conflict', { revision: 6, content: 'malformed', lease: undefined } as const],
  ] as const)('is lost at once (%s) when the watch says so', (reason, sighting) => {
    const effects = new Machine().lead().feed(20, { type: 'sighted', sighting });
    expect(effects).toContainEqual(expect.objectContaining({ type: 'demote', reason }));
  });

  it('is not moved by old, late or own messages', () => {
    const m = new Machine().lead();
    for (const sighting of [other(4), deleted(3), m.own(5), m.own(4)])
      expect(types(m.feed(20, { type: 'sighted', sighting }))).toEqual([]);
    expect(m.state.view).toBe('leader');
  });

  it('looks before it believes that its key is gone from a listing', () => {
    const m = new Machine().lead();
    expect(types(m.feed(20, { type: 'sighted', sighting: deleted(5) }))).toEqual(['read']);
    expect(types(m.feed(21, { type: 'read', op: m.op, sighting: undefined }))).toEqual(['demote']);
  });

  it('verifies by a write at once after a reconnect', () => {
    const m = new Machine().lead();
    m.feed(20, { type: 'disconnected' });
    expect(m.feed(200, { type: 'connected' })).toContainEqual(expect.objectContaining({ type: 'update', revision: 5 }));
    m.feed(201, { type: 'conflict', op: m.op });
    expect(m.feed(202, { type: 'read', op: m.op, sighting: other(8) })).toContainEqual(
      expect.objectContaining({ type: 'demote', reason: 'reconnect_verification_failed' }),
    );
  });

  it('gives up after the grace, and never later than its deadline', () => {
    const short = new Machine({ graceMs: 300 }).lead();
    short.feed(20, { type: 'disconnected' });
    expect(wakeAt(short.rules, short.state)).toBe(320);
    expect(short.feed(320, { type: 'tick' })).toContainEqual(expect.objectContaining({ reason: 'connection_loss' }));
    const long = new Machine({ graceMs: 60_000 }).lead();
    long.feed(20, { type: 'disconnected' });
    expect(long.feed(900, { type: 'tick' })).toContainEqual(expect.objectContaining({ reason: 'lease_expired' }));
  });

  it('is lost when the machine has slept', () => {
    expect(types(new Machine().lead().feed(20, { type: 'suspended' }))).toEqual(['demote']);
  });
});

describe('a departure', () => {
  const leave = (extra = {}): MachineEvent => ({
    type: 'leave',
    reason: 'step_down',
    holdOffMs: 200,
    next: undefined,
    keepKey: false,
    final: false,
    ...extra,
  });

  it('renews while the hooks run and deletes at the revision it knows', () => {
    const m = new Machine().lead();
    const { token = '' } = m.state.term ?? {};
    expect(types(m.feed(20, leave()))).toEqual(['demote']);
    expect(types(m.feed(340, { type: 'tick' }))).toEqual(['update']);
    m.feed(345, { type: 'written', op: m.op, revision: 6 });
    expect(m.feed(350, { type: 'demoted', token, clean: true })).toMatchObject([
      { type: 'clear' },
      { type: 'delete', revision: 6 },
    ]);
    m.feed(355, { type: 'written', op: m.op, revision: 7 });
    // Nobody else takes it: back after the rest.
    expect(wakeAt(m.rules, m.state)).toBe(555);
    expect(types(m.feed(555, { type: 'tick' }))).toEqual(['create']);
  });

  it('waits for a renewal under way, and reads back when its outcome is unknown', () => {
    const m = new Machine().lead();
    const { token = '' } = m.state.term ?? {};
    m.feed(334, { type: 'tick' });
    m.feed(335, leave());
    expect(types(m.feed(336, { type: 'demoted', token, clean: true }))).toEqual(['clear']);
    m.feed(500, { type: 'failed', op: m.op });
    expect(types(m.feed(600, { type: 'tick' }))).toEqual(['read']);
    expect(m.feed(601, { type: 'read', op: m.op, sighting: m.own(6) })).toMatchObject([
      { type: 'delete', revision: 6 },
    ]);
  });

  it('never deletes what became another lease', () => {
    const m = new Machine().lead();
    const { token = '' } = m.state.term ?? {};
    m.feed(20, leave());
    m.feed(30, { type: 'demoted', token, clean: true });
    expect(types(m.feed(35, { type: 'conflict', op: m.op }))).toEqual(['read']);
    expect(types(m.feed(40, { type: 'read', op: m.op, sighting: other(9) }))).toEqual([]);
    expect(m.state).toMatchObject({ phase: 'standing', view: 'follower', leaderId: 'other' });
  });

  it('leaves the lease alone when hooks did not end', () => {
    const m = new Machine().lead();
    const { token = '' } = m.state.term ?? {};
    m.feed(20, leave({ final: true }));
    expect(types(m.feed(30, { type: 'demoted', token, clean: false }))).toEqual([]);
    expect(m.state.phase).toBe('stopped');
  });

  it('names the next holder in the value', () => {
    const m = new Machine().lead();
    const { token = '' } = m.state.term ?? {};
    m.feed(20, leave({ next: 'other', reason: 'handoff' }));
    expect(m.feed(30, { type: 'demoted', token, clean: true })).toContainEqual(
      expect.objectContaining({
        type: 'update',
        revision: 5,
        lease: expect.objectContaining({ next: 'other', released: true, epoch: 5 }),
      }),
    );
  });

  it('does not free a preempted lease while its holder may still act', () => {
    const m = new Machine({ priority: 2, allowPriorityTakeover: true });
    m.feed(0, { type: 'start' });
    expect(m.feed(10, { type: 'read', op: m.op, sighting: other(R + 4, { priority: 1 }) })).toContainEqual(
      expect.objectContaining({ type: 'update', revision: R + 4 }),
    );
    m.feed(20, { type: 'written', op: m.op, revision: R + 5 });
    expect([m.state.phase, wakeAt(m.rules, m.state)]).toEqual(['guarding', 10 + 1000 / 3]);
    m.feed(30, leave({ final: true }));
    expect([m.state.phase, wakeAt(m.rules, m.state)]).toEqual(['releasing', 1010]);
    expect(types(m.feed(1010, { type: 'tick' }))).toEqual(['delete']);
  });
});

describe('a candidate', () => {
  const following = (sighting: Sighting, given: Partial<Rules> = {}): Machine => {
    const m = new Machine(given);
    m.feed(0, { type: 'start' });
    m.feed(5, { type: 'read', op: m.op, sighting });
    return m;
  };

  it('takes a lease over after it saw one revision for the ttl', () => {
    const m = following(other(R + 4));
    expect(wakeAt(m.rules, m.state)).toBe(1005);
    m.feed(600, { type: 'sighted', sighting: other(R + 6) });
    expect(wakeAt(m.rules, m.state)).toBe(1600);
    expect(m.feed(1600, { type: 'tick' })).toContainEqual(expect.objectContaining({ type: 'update', revision: R + 6 }));
  });

  it('waits for the longer of the two ttls', () => {
    const m = following(other(4, { ttlMs: 5000 }));
    expect(wakeAt(m.rules, m.state)).toBe(5005);
  });

  it('does not start the wait anew for a message that comes twice or late', () => {
    const m = following(other(4));
    m.feed(500, { type: 'sighted', sighting: other(4) });
    m.feed(600, { type: 'sighted', sighting: other(3) });
    expect(wakeAt(m.rules, m.state)).toBe(1005);
  });

  it('acts at once on a deletion, and waits a held lease out when the key merely vanished', () => {
    expect(types(following(other(4)).feed(50, { type: 'sighted', sighting: deleted(5) }))).toEqual(['create']);
    const m = following(other(4));
    expect(types(m.feed(50, { type: 'sighted', sighting: deleted(4) }))).toEqual([]);
    expect(types(m.feed(1005, { type: 'tick' }))).toEqual(['create']);
  });

  it('reads before it writes when the watch was interrupted, and polls while it is silent', () => {
    const m = following(other(4));
    expect(types(m.feed(50, { type: 'interrupted' }))).toEqual(['read']);
    m.feed(60, { type: 'read', op: m.op, sighting: other(4) });
    expect(wakeAt(m.rules, m.state)).toBe(550);
    m.feed(100, { type: 'synced' });
    expect(wakeAt(m.rules, m.state)).toBe(1005);
  });

  it('asks again after a read without an answer: later each time, by chance, at most a heartbeat later', () => {
    const waits = (seed: number): number[] => {
      const m = new Machine({ random: seededRandom(seed) });
      m.feed(0, { type: 'start' });
      return Array.from({ length: 8 }, () => {
        const now = m.state.polledAt;
        m.feed(now, { type: 'failed', op: m.op });
        const at = wakeAt(m.rules, m.state) as number;
        expect(types(m.feed(at, { type: 'tick' }))).toEqual(['read']);
        return at - now;
      });
    };
    const [one, two] = [waits(1), waits(2)];
    for (const [i, wait] of one.entries()) {
      const full = Math.min(333, 50 * 2 ** i);
      expect(wait).toBeGreaterThanOrEqual(full / 2);
      expect(wait).toBeLessThanOrEqual(full + 1);
      expect(wait).not.toBe(two[i]);
    }
  });

  it('takes what was handed to it at once, and what was handed to another after a moment', () => {
    expect(types(following(other(4, { released: true, next: 'me' })).feed(6, { type: 'tick' }))).toEqual([]);
    const named = new Machine();
    named.feed(0, { type: 'start' });
    expect(
      types(named.feed(5, { type: 'read', op: named.op, sighting: other(4, { released: true, next: 'me' }) })),
    ).toEqual(['update']);
    const m = following(other(4, { released: true, next: 'third' }));
    expect(wakeAt(m.rules, m.state)).toBe(505);
  });

  it('waits a malformed value out, and overwrites it by its revision', () => {
    const m = following({ revision: R + 4, content: 'malformed', lease: undefined });
    expect(m.state).toMatchObject({ view: 'follower', leaderId: undefined });
    expect(m.feed(1005, { type: 'tick' })).toContainEqual(expect.objectContaining({ type: 'update', revision: R + 4 }));
  });

  it('preempts only a strictly lower priority, and leads when the old lease has ended', () => {
    const m = following(other(4, { priority: 2 }), { priority: 2, allowPriorityTakeover: true });
    expect(wakeAt(m.rules, m.state)).toBe(1005);
  });

  it('leaves a firm lease and, after a term of its own, a new leader alone', () => {
    const strong = { priority: 2, allowPriorityTakeover: true, takeoverCooldownMs: 700 };
    expect(wakeAt(...following(other(R + 4, { priority: 1, firm: true }), strong).at())).toBe(1005);
    const m = new Machine({ priority: 2, allowPriorityTakeover: true, takeoverCooldownMs: 700 }).lead();
    m.feed(20, { type: 'sighted', sighting: other(R + 6, { priority: 1 }) });
    m.feed(25, { type: 'demoted', token: m.state.demoting ?? '', clean: true });
    m.feed(26, { type: 'read', op: m.op, sighting: other(R + 6, { priority: 1 }) });
    expect(wakeAt(...m.at())).toBe(720);
    expect(m.feed(720, { type: 'tick' })).toContainEqual(expect.objectContaining({ type: 'update', revision: R + 6 }));
  });

  it('lifts its epoch above what it has seen when the bucket was made anew', () => {
    const m = following(other(400));
    m.feed(50, { type: 'interrupted' });
    m.feed(60, { type: 'read', op: m.op, sighting: other(2) });
    expect(types(m.feed(1060, { type: 'tick' }))).toEqual(['read']);
    expect(m.feed(1061, { type: 'read', op: m.op, sighting: other(2) })).toContainEqual(
      expect.objectContaining({ type: 'update', revision: 2, lease: expect.objectContaining({ floor: 400 }) }),
    );
    m.feed(1065, { type: 'written', op: m.op, revision: 3 });
    expect(m.state.term?.epoch).toBe(401);
  });

  it('says so too when the new bucket is empty: its revisions begin below the one that it last saw', () => {
    const m = following(other(9));
    m.feed(50, { type: 'interrupted' });
    const effects = [...m.feed(60, { type: 'read', op: m.op, sighting: undefined }), ...m.feed(5000, { type: 'tick' })];
    expect(effects).toContainEqual(
      expect.objectContaining({ type: 'create', lease: expect.objectContaining({ floor: 9 }) }),
    );
    m.feed(5005, { type: 'written', op: m.op, revision: 3 });
    expect(m.state.term?.epoch).toBe(10);
  });

  describe('where revisions may repeat', () => {
    const seen = (stamp: number, token = 'o', revision = 4): Sighting => ({ ...other(revision, { token }), stamp });

    it('looks right before it takes a lease over, which counts from that look', () => {
      const m = following(seen(1));
      expect(types(m.feed(1005, { type: 'tick' }))).toEqual(['read']);
      expect(types(m.feed(1100, { type: 'read', op: m.op, sighting: seen(1) }))).toEqual(['update']);
      m.feed(1110, { type: 'written', op: m.op, revision: 5 });
      expect(m.state.term?.deadline).toBe(1005 + 900);
      const late = following(seen(1));
      late.feed(1005, { type: 'tick' });
      late.feed(1100, { type: 'read', op: late.op, sighting: seen(1) });
      late.feed(1905, { type: 'written', op: late.op, revision: 5 });
      expect(late.state.phase).toBe('standing');
    });

    it('waits for another lease at the same revision, and for the same one in another bucket', () => {
      for (const instead of [seen(2, 'p'), seen(2)]) {
        const m = following(seen(1));
        m.feed(1005, { type: 'tick' });
        expect(types(m.feed(1006, { type: 'read', op: m.op, sighting: instead }))).toEqual([]);
        expect(wakeAt(m.rules, m.state)).toBe(2006);
      }
    });

    it('takes what carries its own token at once only for as long as nobody else can have been under it', () => {
      const attempt = (): [Machine, Sighting] => {
        const m = following(seen(1));
        m.feed(1005, { type: 'tick' });
        m.feed(1006, { type: 'read', op: m.op, sighting: seen(1) });
        const { token = '' } = m.state.flight ?? {};
        m.feed(1180, { type: 'failed', op: m.op });
        m.feed(1500, { type: 'tick' });
        return [m, { ...seen(9, token, 5), lease: { id: 'me', token, priority: 0 } }];
      };
      const [early, mine] = attempt();
      expect(types(early.feed(1510, { type: 'read', op: early.op, sighting: mine }))).toEqual(['update']);
      const [late, found] = attempt();
      expect(types(late.feed(1910, { type: 'read', op: late.op, sighting: found }))).toEqual([]);
      expect(wakeAt(late.rules, late.state)).toBe(2910);
    });

    it('does not release after its deadline', () => {
      const release = (revision: number): string[] => {
        const m = following(other(revision, { released: true, next: 'me' }));
        if (m.state.flight?.kind === 'read') m.feed(6, { type: 'read', op: m.op, sighting: m.state.observed as never });
        m.feed(10, { type: 'written', op: m.op, revision: revision + 1 });
        m.feed(10, { type: 'guarded', token: m.state.term?.token ?? '' });
        const { token = '' } = m.state.term ?? {};
        m.feed(20, { type: 'leave', reason: 'stop', holdOffMs: 0, next: undefined, keepKey: false, final: true });
        m.feed(30, { type: 'demoted', token, clean: true });
        m.feed(200, { type: 'failed', op: m.op });
        return types(m.feed(5000, { type: 'tick' }));
      };
      expect(release(4)).toEqual([]);
      expect(release(R)).toEqual(['read']);
    });
  });

  it('does not write in circles where reads lag behind what refuses it', () => {
    const m = following(other(R + 4));
    expect(types(m.feed(1005, { type: 'tick' }))).toEqual(['update']);
    expect(types(m.feed(1006, { type: 'conflict', op: m.op }))).toEqual(['read']);
    expect(types(m.feed(1007, { type: 'read', op: m.op, sighting: other(R + 4) }))).toEqual(['update']);
    expect(types(m.feed(1008, { type: 'conflict', op: m.op }))).toEqual([]);
    expect(wakeAt(m.rules, m.state)).toBeGreaterThan(1020);
  });

  it('takes nothing by an answer that it slept through', () => {
    const m = following(other(R + 4));
    m.feed(1005, { type: 'tick' });
    const { op } = m;
    expect(types(m.feed(1006, { type: 'suspended' }))).toEqual(['read']);
    m.feed(1007, { type: 'written', op, revision: R + 5 });
    expect(m.state.term).toBeUndefined();
  });

  it('does not write by a look that it slept through', () => {
    const m = following(other(4));
    m.feed(1005, { type: 'tick' });
    const { op } = m;
    expect(types(m.feed(1006, { type: 'suspended' }))).toEqual(['read']);
    expect(types(m.feed(1007, { type: 'read', op, sighting: other(4) }))).toEqual([]);
  });

  it('stops when it slept through the attempt that its stop waits for', () => {
    const m = following(other(R + 4));
    m.feed(1005, { type: 'tick' });
    m.feed(1006, { type: 'leave', reason: 'stop', holdOffMs: 0, next: undefined, keepKey: false, final: true });
    m.feed(1007, { type: 'suspended' });
    expect(m.state.phase).toBe('stopped');
  });

  it('takes its own lease of an unheard attempt anew, with another token', () => {
    const m = new Machine();
    m.feed(0, { type: 'start' });
    m.feed(0, { type: 'read', op: m.op, sighting: undefined });
    const { token = '' } = m.state.flight ?? {};
    m.feed(170, { type: 'failed', op: m.op });
    m.feed(300, { type: 'tick' });
    const mine: Sighting = { revision: 1, content: 'lease', lease: { id: 'me', token, priority: 0 } };
    const effects = m.feed(310, { type: 'read', op: m.op, sighting: mine });
    expect(effects).toContainEqual(expect.objectContaining({ type: 'update', revision: 1 }));
    expect(m.state.flight?.token).not.toBe(token);
  });

  it('ignores answers to requests that it gave up', () => {
    const m = following(other(4));
    const before = m.state;
    m.feed(20, { type: 'written', op: 1, revision: 9 });
    m.feed(20, { type: 'read', op: 99, sighting: undefined });
    expect(m.state).toEqual(before);
  });
});
