import { describe, expect, it } from 'vitest';
import {
  FAULT_KINDS,
  PLANTED_FAULTS,
  type PlantedFault,
  type SimulationReport,
  simulate,
  sumOfCounts,
} from '../../src/testing/index.ts';

/** What shows the mistake; else two leaders at once. */
const SHOWN_BY: Readonly<Partial<Record<PlantedFault, RegExp>>> = {
  epoch_from_payload: /epoch \d+ of/,
  gives_up: /no leader/,
};

const SEEDS = Array.from({ length: 300 }, (_, i) => i + 1);

function run(plant: PlantedFault): SimulationReport[] {
  return SEEDS.map((seed) => simulate({ seed, plant }));
}

function found(reports: readonly SimulationReport[], what: RegExp): number {
  return reports.filter((report) => report.violations.some((violation) => what.test(violation))).length;
}

/** In how many of the schedules at least the mistake must show; `test:sim` prints the figures for many more. */
const LEAST: Readonly<Record<(typeof PLANTED_FAULTS)[number], number>> = {
  no_margin: 30,
  wall_clock: 30,
  blind_delete: 1,
  epoch_from_payload: 200,
  same_revisions: 1,
  gives_up: 60,
  failsafe_forgets_one: 2,
  failsafe_from_arrival: 1,
  failsafe_broken_promise: 30,
  failsafe_unlisted_early: 8,
};

describe('simulated elections', () => {
  it(`keep their promises under ${SEEDS.length} seeds of turmoil`, () => {
    const reports = run('none');
    expect(reports.filter((report) => report.violations.length > 0)).toEqual([]);
    // The schedules must have been worth it: terms, losses of every usual kind, races, and faults.
    const sum = (of: (report: SimulationReport) => number): number => reports.reduce((n, report) => n + of(report), 0);
    expect(sum((report) => report.promotions)).toBeGreaterThan(2500);
    expect(sum((report) => report.conflicts)).toBeGreaterThan(1000);
    expect(sum((report) => report.faults)).toBeGreaterThan(15_000);
    expect(sum((report) => report.recreated)).toBeGreaterThan(100);
    expect(sum((report) => report.floors)).toBeGreaterThan(50);
    expect(sum((report) => report.extensions)).toBeGreaterThan(1000);
    expect(sum((report) => report.bridged)).toBeGreaterThan(100);
    for (const reason of ['lease_expired', 'conflict', 'connection_loss'] as const)
      expect(
        sum((report) => report.losses[reason] ?? 0),
        reason,
      ).toBeGreaterThan(20);
  });

  it('contain every kind of fault, often enough to mean something', async ({ annotate }) => {
    const kinds = sumOfCounts(run('none').map((report) => report.kinds));
    await annotate(FAULT_KINDS.map((kind) => `${kind} ${kinds[kind]}`).join(', '));
    expect(FAULT_KINDS.filter((kind) => kinds[kind] < 50)).toEqual([]);
  });

  it('repeat exactly from their seed', () => {
    const trace = (): string[] => {
      const lines: string[] = [];
      simulate({ seed: 7, trace: (line) => lines.push(line) });
      return lines;
    };
    expect(trace()).toEqual(trace());
  });

  it.for(PLANTED_FAULTS)('find a planted mistake: %s', async (plant, { annotate }) => {
    const schedules = found(run(plant), SHOWN_BY[plant] ?? /two leaders/);
    await annotate(`${plant}: caught in ${schedules} of ${SEEDS.length} schedules`);
    expect(schedules).toBeGreaterThanOrEqual(LEAST[plant]);
  });
});
