/** Failsafe, one machine moved by hand: ttl 1000, margin 100, heartbeat 333, limit 5000. */
import { describe, expect, it } from 'vitest';
import type { FailsafeAnswer, FailsafeCall } from '../../src/failsafe/message.ts';
import type { LeaseValue } from '../../src/lease/lease-value.ts';
import type { Sighting } from '../../src/lease/sighting.ts';
import {
  type Effect,
  initialState,
  type MachineEvent,
  type MachineState,
  type Rules,
} from '../../src/machine/state.ts';
import { step, wakeAt } from '../../src/machine/step.ts';
import { simulatedRules } from '../../src/testing/simulated-node.ts';

const LIMIT = 5000;
/** Revisions as in a bucket that an election made. */
const R = 1e14;

class Machine {
  readonly rules: Rules;
  state: MachineState;

  constructor(given: Partial<Rules> = {}) {
    const failsafe = { run: 'me', limitMs: LIMIT };
    this.rules = simulatedRules('m', { instanceId: 'a', ttlMs: 1000, jitterMs: 0, failsafe, ...given });
    this.state = initialState(this.rules);
  }

  feed(now: number, event: MachineEvent): readonly Effect[] {
    const { state, effects } = step(this.rules, this.state, event, now);
    this.state = state;
    return effects;
  }

  get op(): number {
    return this.state.flight?.op ?? -1;
  }

  get deadline(): number | undefined {
    return this.state.term?.deadline;
  }

  /** Leads from revision 5, written at 0; a released value spared it the wait. */
  lead(): this {
    this.feed(0, { type: 'start' });
    this.feed(0, { type: 'read', op: this.op, sighting: sighting(R + 4, { released: true }) });
    this.feed(10, { type: 'written', op: this.op, revision: R + 5 });
    this.feed(10, { type: 'guarded', token: this.state.term?.token ?? '' });
    expect(this.state.view).toBe('leader');
    return this;
  }

  /** The peers are there, and listed by the renewal at 340, which is acknowledged. */
  list(...peers: readonly string[]): this {
    for (const peer of peers) this.answer(100, peer, this.state.failsafe.round, false);
    const [write] = this.feed(340, { type: 'tick' }).filter((effect) => effect.type === 'update');
    expect(write?.lease.failsafe?.peers).toEqual(['me', ...peers].sort());
    this.feed(350, { type: 'written', op: this.op, revision: R + 6 });
    expect(this.deadline).toBe(340 + 900);
    return this;
  }

  answer(now: number, run: string, round: number, promised = true): readonly Effect[] {
    const message: FailsafeAnswer = { type: 'answer', to: 'me', run, id: `id of ${run}`, round, promised };
    return this.feed(now, { type: 'heard', message });
  }

  /** Ticks at each moment that the machine asks for, without the bucket answering; returns the calls that were sent. */
  outage(from: number, until: number): FailsafeCall[] {
    const calls: FailsafeCall[] = [];
    for (let at = wakeAt(this.rules, this.state) ?? until; at < until; at = wakeAt(this.rules, this.state) ?? until) {
      const now = Math.max(at, from);
      for (const effect of this.feed(now, { type: 'tick' })) {
        if (effect.type === 'tell' && effect.message.type === 'call') calls.push(effect.message);
        if (effect.type === 'update' || effect.type === 'read') this.feed(now, { type: 'failed', op: effect.op });
      }
    }
    return calls;
  }

  call(now: number, given: Partial<FailsafeCall> = {}): FailsafeAnswer | undefined {
    const message: FailsafeCall = {
      type: 'call',
      run: 'h',
      id: 'b',
      round: 1,
      epoch: R + 9,
      promiseMs: 1000,
      ...given,
    };
    const told = this.feed(now, { type: 'heard', message }).find((effect) => effect.type === 'tell');
    return told?.message.type === 'answer' ? told.message : undefined;
  }

  /** Stands and has seen somebody else's lease at 0. */
  follow(extra: Partial<LeaseValue> = {}): this {
    this.feed(0, { type: 'start' });
    this.feed(0, { type: 'read', op: this.op, sighting: sighting(R + 9, extra) });
    return this;
  }
}

function sighting(revision: number, extra: Partial<LeaseValue> = {}): Sighting {
  const lease = { id: 'b', token: 't', priority: 0, ...extra };
  return { revision, content: extra.released ? 'released' : 'lease', lease };
}
const clause = (...peers: readonly string[]) => ({ failsafe: { limitMs: LIMIT, peers } });

describe('a holder with failsafe', () => {
  it('asks for promises when a renewal is overdue, and counts them from when it asked', () => {
    const m = new Machine().lead().list('p');
    const calls = m.outage(673, 1000);
    const asked = calls.findIndex((call) => call.promiseMs === 1000);
    expect(asked).toBeGreaterThanOrEqual(0);
    const { round } = calls[asked] as FailsafeCall;
    const sentAt = m.state.failsafe.rounds.find((each) => each.round === round)?.sentAt as number;
    const effects = m.answer(1200, 'p', round);
    expect(effects.map(({ type }) => type)).toContain('extended');
    expect(m.deadline).toBeCloseTo(sentAt + 900, 6);
    expect(m.deadline).toBeGreaterThan(1240);
    expect(m.state.term?.covered).toBe(true);
  });

  it('needs everybody: the oldest promise counts', () => {
    const m = new Machine().lead().list('p', 'q');
    const calls = m.outage(673, 1100).filter((call) => call.promiseMs > 0);
    const [first, last] = [calls[0], calls.at(-1)] as [FailsafeCall, FailsafeCall];
    const sentAt = (round: number) => m.state.failsafe.rounds.find((each) => each.round === round)?.sentAt as number;
    m.answer(1100, 'p', last.round);
    expect(m.deadline).toBe(1240);
    m.answer(1110, 'q', first.round);
    expect(m.deadline).toBeCloseTo(sentAt(first.round) + 900, 6);
    m.answer(1120, 'q', last.round);
    expect(m.deadline).toBeCloseTo(sentAt(last.round) + 900, 6);
    // Late, repeated and older answers move nothing back.
    m.answer(1130, 'q', first.round);
    expect(m.deadline).toBeCloseTo(sentAt(last.round) + 900, 6);
  });

  it('counts on whoever a write names that may have landed unheard', () => {
    const m = new Machine().lead().list('p');
    m.answer(400, 'new', 0, false);
    const calls = m.outage(673, 1100).filter((call) => call.promiseMs > 0);
    expect(m.state.term?.bound).toEqual(['me', 'p', 'new']);
    const { round } = calls.at(-1) as FailsafeCall;
    m.answer(1100, 'p', round);
    expect(m.deadline).toBe(1240);
    m.answer(1110, 'new', round);
    expect(m.deadline).toBeGreaterThan(1240);
  });

  it.each([
    ['a roll call is answered', (m: Machine, round: number) => m.answer(1100, 'p', round, false)],
    ['the round is unknown', (m: Machine) => m.answer(1100, 'p', 999)],
    ['somebody else answers', (m: Machine, round: number) => m.answer(1100, 'x', round)],
  ])('gains nothing when %s', (_, answer) => {
    const m = new Machine().lead().list('p');
    const { round } = m.outage(673, 1100).at(-1) as FailsafeCall;
    answer(m, round);
    expect(m.deadline).toBe(1240);
  });

  it('does not come back after its deadline', () => {
    const m = new Machine().lead().list('p');
    const { round } = m.outage(673, 1200).at(-1) as FailsafeCall;
    const effects = m.answer(1240, 'p', round);
    expect(effects.map(({ type }) => type)).toContain('demote');
    expect(m.state.term).toBeUndefined();
  });

  it('stops at the limit, whatever is promised', () => {
    const m = new Machine().lead().list('p');
    for (let now = 673; now < 6000 && m.state.term !== undefined; now += 50) {
      const call = m.outage(now, now + 50).at(-1);
      if (call !== undefined && m.state.term !== undefined) m.answer(now + 50, 'p', call.round);
      if (m.state.term !== undefined) expect(m.deadline).toBeLessThanOrEqual(340 + 0.9 * LIMIT);
    }
    expect(m.state.term).toBeUndefined();
  });

  it('alone has nobody to promise', () => {
    const m = new Machine().lead().list();
    m.outage(673, 2000);
    expect(m.state.term).toBeUndefined();
  });
});

describe('a candidate with failsafe', () => {
  it('keeps its promise: no write, and no term of a write that was on its way', () => {
    const m = new Machine().follow(clause('me', 'h'));
    // The lease seems to have run out: it writes, and is asked before it hears.
    expect(m.feed(1000, { type: 'tick' }).map(({ type }) => type)).toContain('update');
    expect(m.call(1100)?.promised).toBe(true);
    const effects = m.feed(1150, { type: 'written', op: m.op, revision: R + 10 });
    expect([m.state.phase, m.state.term?.notBefore]).toEqual(['guarding', 2100]);
    expect(effects.map(({ type }) => type)).not.toContain('guard');
    // One that holds something promises nothing more.
    expect(m.call(1200)?.promised).toBe(false);

    const idle = new Machine().follow(clause('me', 'h'));
    expect(idle.call(900)?.promised).toBe(true);
    expect(wakeAt(idle.rules, idle.state)).toBe(1900);
  });

  it.each([
    ['a later term is known', { epoch: R + 8 }],
    ['it is asked for nothing', { promiseMs: 0 }],
    ['it is asked for more than its limit', { promiseMs: LIMIT + 1 }],
  ])('promises nothing when %s', (_, call) => {
    const m = new Machine().follow(clause('me', 'h'));
    expect(m.call(100, call)?.promised).toBe(false);
    expect(m.state.failsafe.promisedUntil).toBe(Number.NEGATIVE_INFINITY);
  });

  it('waits a ttl when it is listed, the limit when it is not, the limit when it knows nothing', () => {
    const due = (m: Machine) => wakeAt(m.rules, m.state);
    expect(due(new Machine().follow(clause('me', 'h')))).toBe(1000);
    expect(due(new Machine().follow(clause('h')))).toBe(LIMIT);
    expect(due(new Machine({ failsafe: undefined }).follow(clause('h')))).toBe(LIMIT);
    expect(due(new Machine().follow())).toBe(1000);
    const fresh = new Machine();
    fresh.feed(0, { type: 'start' });
    fresh.feed(0, { type: 'read', op: fresh.op, sighting: undefined });
    expect(due(fresh)).toBe(LIMIT);
  });

  it('repeats the list that it writes over, and lists itself alone over nothing it was on', () => {
    const acquires = (m: Machine, at: number) => {
      const write = m.feed(at, { type: 'tick' }).find(({ type }) => type === 'update' || type === 'create');
      return write?.type === 'update' || write?.type === 'create' ? write.lease.failsafe : undefined;
    };
    expect(acquires(new Machine().follow(clause('h', 'me', 'p')), 1000)?.peers).toEqual(['h', 'me', 'p']);
    expect(acquires(new Machine().follow(clause('h', 'p')), LIMIT)?.peers).toEqual(['me']);
    const plain = new Machine({ failsafe: undefined }).follow(clause('h', 'p'));
    expect(acquires(plain, LIMIT)).toEqual({ limitMs: LIMIT, peers: [] });
  });

  it('does not preempt a lease that does not list it', () => {
    const rules = { priority: 5, allowPriorityTakeover: true };
    expect(new Machine(rules).follow(clause('h')).state.flight).toBeUndefined();
    expect(new Machine(rules).follow(clause('h', 'me')).state.flight?.kind).toBe('acquire');
  });
});

describe('a group with somebody who knows nothing of failsafe', () => {
  it('has it off until that one answers', () => {
    const m = new Machine();
    m.feed(0, { type: 'start' });
    m.feed(0, { type: 'read', op: m.op, sighting: sighting(R + 3, { id: 'stranger' }) });
    m.feed(1000, { type: 'tick' });
    m.feed(1010, { type: 'written', op: m.op, revision: R + 5 });
    m.feed(1010, { type: 'guarded', token: m.state.term?.token ?? '' });
    const listed = (at: number) => {
      const write = m.feed(at, { type: 'tick' }).find(({ type }) => type === 'update');
      m.feed(at + 10, { type: 'written', op: m.op, revision: at });
      return write?.type === 'update' ? write.lease.failsafe : undefined;
    };
    expect(listed(1340)).toBeUndefined();
    const message: FailsafeAnswer = { type: 'answer', to: 'me', run: 's', id: 'stranger', round: 1, promised: false };
    m.feed(1400, { type: 'heard', message });
    expect(listed(1700)?.peers).toEqual(['me', 's']);
  });
});
