/** Many candidates for one lease: how much they write, and how soon one of them leads. */
import { describe, expect, it } from 'vitest';
import type { Election } from '../src/index.ts';
import { TTL, world } from './elections.ts';

describe('a herd', () => {
  it('of 100 candidates elects one within the ttl and a second, at three writes each or fewer', async () => {
    const { clock, network, make } = world();
    const all = Array.from({ length: 100 }, (_, i) => make(`n${i}`));
    const started = all.map((election) => election.start());
    await clock.advance(50);
    await Promise.all(started);
    const leader = all.find((election) => election.isLeader) as Election;
    const before = network.writes;
    const from = clock.monotonic();
    const rest = all.filter((election) => election !== leader);
    await leader.stop({ deleteKey: false });
    while (!rest.some((election) => election.isLeader)) await clock.advance(10);
    expect(clock.monotonic() - from).toBeLessThanOrEqual(TTL + 1000);
    expect(network.writes - before).toBeLessThanOrEqual(3 * rest.length);
    expect(rest.filter((election) => election.isLeader)).toHaveLength(1);
    await Promise.all([...rest.map((election) => election.stop({ deleteKey: false })), clock.advance(50)]);
  });

  it('spreads out when a lease is released: most of 100 candidates see it taken before they would write', async () => {
    const { clock, network, make } = world();
    const all = Array.from({ length: 100 }, (_, i) => make(`n${i}`));
    await Promise.all([...all.map((election) => election.start()), clock.advance(50)]);
    const leader = all.find((election) => election.isLeader) as Election;
    const before = network.writes;
    await Promise.all([leader.stop(), clock.advance(100)]);
    const rest = all.filter((election) => election !== leader);
    expect(rest.filter((election) => election.isLeader)).toHaveLength(1);
    // The release, the acquisition, its epoch's record, and few that were too late.
    expect(network.writes - before).toBeLessThanOrEqual(10);
    await Promise.all([...rest.map((election) => election.stop({ deleteKey: false })), clock.advance(50)]);
  });
});
