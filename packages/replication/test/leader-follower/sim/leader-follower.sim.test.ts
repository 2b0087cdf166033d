/** CANOPY_SIM_SEEDS sets the number of schedules. */
import type { Json, LogEvent } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { acceptedOf, check, type History } from './checks.ts';
import { PLANTED, type Plant } from './faulty-node.ts';
import { simulate } from './simulate.ts';

const SEEDS = Number(process.env['CANOPY_SIM_SEEDS'] ?? 120);
const PLANTED_SEEDS = 25;

/** What shows the mistake, and in how many of the schedules at least. */
const SHOWN: Readonly<Record<(typeof PLANTED)[number], readonly [what: RegExp, least: number]>> = {
  no_condition: [/^(lost|diverged|ghost)/, 5],
  blind_ack: [/^lost/, 4],
  conflict_is_success: [/^lost/, 4],
  torn_commit: [/^diverged/, 12],
  no_fence: [/^diverged/, 12],
  skipping_reader: [/^diverged/, 8],
  early_position: [/^diverged/, 12],
  snapshot_says_more: [/^diverged/, 5],
  reads_without_token: [/^went back/, 4],
  forgets_unknown: [/^ghost/, 3],
  boastful_follower: [/^thin/, 3],
};

describe('simulated leaders and followers', () => {
  it(`keep their promises under ${SEEDS} seeds of turmoil`, async () => {
    const counts: Record<string, number> = {};
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = await simulate(seed);
      expect(report.violations.slice(0, 5), `seed ${seed}`).toEqual([]);
      for (const [what, n] of Object.entries(report.counts)) counts[what] = (counts[what] ?? 0) + n;
    }
    // The schedules must have been worth it.
    for (const what of [
      'promotions',
      'acknowledged',
      'unknown',
      'reads',
      'freezes',
      'cuts',
      'crashes',
      'STALE_LEADER',
      'local',
      'followers:1',
    ])
      expect(counts[what], what).toBeGreaterThan(SEEDS / 2);
    expect(counts['disks lost']).toBeGreaterThan(SEEDS / 4);
  });

  it.each(PLANTED)('show the mistake %s', async (plant: Exclude<Plant, 'none'>) => {
    const [what, least] = SHOWN[plant];
    let found = 0;
    for (let seed = 1; seed <= PLANTED_SEEDS; seed++) {
      const { violations } = await simulate(seed, plant);
      if (violations.some((violation) => what.test(violation))) found += 1;
    }
    expect(found).toBeGreaterThanOrEqual(least);
  });
});

describe('the checks', () => {
  const epoch = (n: number): Json => ({ type: 'replication.epoch', epoch: n });
  const write = (n: number, key: string, value: number): Json => ({ type: 'replication.write', epoch: n, key, value });
  const log = [epoch(1), write(1, 'a', 1), epoch(2), write(1, 'a', 2), write(2, 'a', 3)].map(
    (event, i): LogEvent => ({ sequence: i + 1, storedAt: 0, topic: '', event }),
  );
  const history = (more: Partial<History>): History => ({ log, writes: [], reads: [], states: [], ...more });
  const acknowledged = (value: number, sequence: number) =>
    ({ key: 'a', value, outcome: 'acknowledged', sequence }) as const;

  const read = { session: 's', key: 'a', seen: 0, earlier: 0, counts: true };

  it('take what is in its term', () => {
    expect(acceptedOf(log).map(({ sequence }) => sequence)).toEqual([2, 5]);
    const reads = [{ ...read, value: 1, seen: 4 }];
    const states = [{ node: 'n', sequence: 4, text: '[["a",1]]' }];
    expect(check(history({ writes: [acknowledged(1, 2), acknowledged(3, 5)], reads, states }))).toEqual([]);
  });

  it('find what is not', () => {
    expect(check(history({ writes: [acknowledged(2, 4)] }))[0]).toMatch(/^lost/);
    expect(check(history({ writes: [{ ...acknowledged(3, 5), outcome: 'failed' }] }))[0]).toMatch(/^ghost/);
    expect(check(history({ reads: [{ ...read, value: 1, seen: 5 }] }))[0]).toMatch(/^went back/);
    expect(check(history({ reads: [{ ...read, value: 2, seen: 0 }] }))[0]).toMatch(/^invented/);
    const back = [
      { ...read, value: 3 },
      { ...read, value: 1, earlier: 1 },
    ];
    expect(check(history({ reads: back }))[0]).toMatch(/^went back/);
    expect(check(history({ states: [{ node: 'n', sequence: 5, text: '[["a",2]]' }] }))[0]).toMatch(/^diverged/);
  });
});
