import { describe, expect, it } from 'vitest';
import { DECK, planRounds } from '../../src/crash/plan.ts';

const TTL = 2000;

describe('the plan of a campaign', () => {
  it('is the same for the same seed and another for another', () => {
    expect(planRounds('a', 30, TTL)).toEqual(planRounds('a', 30, TTL));
    expect(planRounds('a', 30, TTL)).not.toEqual(planRounds('b', 30, TTL));
  });
  it('begins the same however long it is', () => {
    expect(planRounds('a', 30, TTL).slice(0, 5)).toEqual(planRounds('a', 5, TTL));
  });
  it('has every fault once in each dozen', () => {
    const name = ({ kind, victim }: { kind: string; victim: string }) => `${kind} ${victim}`;
    const deck = DECK.map(name).sort();
    const drawn = planRounds('c', 2 * DECK.length, TTL).map(name);
    expect(drawn.slice(0, DECK.length).sort()).toEqual(deck);
    expect(drawn.slice(DECK.length).sort()).toEqual(deck);
    expect(drawn.slice(0, DECK.length)).not.toEqual(drawn.slice(DECK.length));
  });
  it('freezes around the lease time, on either side of it, and keeps the nats-server down for two seconds at most', () => {
    const rounds = planRounds('d', 600, TTL);
    const freezes = rounds.filter(({ kind }) => kind.endsWith('Freeze')).map(({ lastsMs }) => lastsMs);
    expect(Math.min(...freezes)).toBeGreaterThanOrEqual(TTL / 2);
    expect(Math.min(...freezes)).toBeLessThan(TTL);
    expect(Math.max(...freezes)).toBeGreaterThan(TTL);
    expect(Math.max(...freezes)).toBeLessThanOrEqual(TTL * 1.5);
    const down = rounds.filter(({ kind }) => kind === 'natsKill').map(({ lastsMs }) => lastsMs);
    expect(Math.max(...down)).toBeLessThanOrEqual(2000);
    expect(new Set(rounds.map(({ standby }) => standby))).toEqual(new Set([0, 1]));
  });
});
