import { describe, expect, it } from 'vitest';
import { type PlantedFault, type SimulationReport, simulate } from '../../src/testing/index.ts';

const SEEDS = Array.from({ length: 200 }, (_, i) => i + 1);

function run(plant: PlantedFault): SimulationReport[] {
  return SEEDS.map((seed) => simulate({ seed, plant }));
}

function found(reports: readonly SimulationReport[], what: RegExp): number {
  return reports.filter((report) => report.violations.some((violation) => what.test(violation))).length;
}

describe('simulated elections', () => {
  it('keep their promises under 200 seeds of turmoil', () => {
    const reports = run('none');
    expect(reports.filter((report) => report.violations.length > 0)).toEqual([]);
    // The schedules must have been worth it: terms, losses of every usual kind, races, and faults.
    const sum = (of: (report: SimulationReport) => number): number => reports.reduce((n, report) => n + of(report), 0);
    expect(sum((report) => report.promotions)).toBeGreaterThan(3000);
    expect(sum((report) => report.conflicts)).toBeGreaterThan(1000);
    expect(sum((report) => report.faults)).toBeGreaterThan(10_000);
    for (const reason of ['lease_expired', 'conflict', 'connection_loss'] as const)
      expect(
        sum((report) => report.losses[reason] ?? 0),
        reason,
      ).toBeGreaterThan(50);
  });

  it('repeat exactly from their seed', () => {
    const trace = (): string[] => {
      const lines: string[] = [];
      simulate({ seed: 7, trace: (line) => lines.push(line) });
      return lines;
    };
    expect(trace()).toEqual(trace());
  });

  it('find a lease without a margin', () => {
    expect(found(run('no_margin'), /two leaders/)).toBeGreaterThan(40);
  });

  it('find leases judged by a clock that steps', () => {
    expect(found(run('wall_clock'), /two leaders/)).toBeGreaterThan(40);
  });

  it('find releases that do not name a revision', () => {
    expect(found(run('blind_delete'), /two leaders/)).toBeGreaterThanOrEqual(3);
  });
});
