import { VirtualClock } from '@canopy/core/testing';
import { describe, expect, test } from 'vitest';
import { SnapshotSchedule } from '../../src/primary/snapshot-schedule.ts';

const HOUR = 3_600_000;
const MB = 1024 * 1024;

function schedule(txid = 0) {
  const clock = new VirtualClock();
  return { clock, schedule: new SnapshotSchedule({ clock, intervalMs: HOUR, txid }) };
}

describe('SnapshotSchedule', () => {
  test('an idle database gets none, however long', async () => {
    const { clock, schedule: plan } = schedule(7);
    await clock.advance(10 * HOUR);
    expect(plan.isDue({ txid: 7, sizeBytes: MB })).toBe(false);
    expect(plan.isDue({ txid: 8, sizeBytes: MB })).toBe(true);
  });

  test('a small database gets one when the log is long to replay and as large as an image', () => {
    const { schedule: plan } = schedule();
    for (let i = 0; i < 999; i++) plan.stored(4096);
    expect(plan.isDue({ txid: 999, sizeBytes: MB })).toBe(false);
    plan.stored(4096);
    expect(plan.isDue({ txid: 1000, sizeBytes: MB })).toBe(true);
    plan.begun(1000);
    expect(plan.isDue({ txid: 1001, sizeBytes: MB })).toBe(false);
  });

  test('a large database is not stored again and again for small commits', async () => {
    const { clock, schedule: plan } = schedule();
    for (let i = 0; i < 50_000; i++) plan.stored(8192);
    expect(plan.isDue({ txid: 50_000, sizeBytes: 10_000 * MB })).toBe(false);
    await clock.advance(HOUR);
    expect(plan.isDue({ txid: 50_000, sizeBytes: 10_000 * MB })).toBe(true);
  });

  test('what earlier primaries left to replay counts, so that frequent failovers do not put images off for ever', async () => {
    const { clock, schedule: plan } = schedule(5000);
    plan.inherit({ txid: 100, ageMs: HOUR - 1000 });
    expect(plan.isDue({ txid: 5001, sizeBytes: MB })).toBe(true);
    const { clock: later, schedule: young } = schedule(500);
    young.inherit({ txid: 100, ageMs: HOUR - 1000 });
    expect(young.isDue({ txid: 501, sizeBytes: MB })).toBe(false);
    await later.advance(1000);
    expect(young.isDue({ txid: 501, sizeBytes: MB })).toBe(true);
    plan.begun(5001);
    plan.inherit({ txid: 5001, ageMs: 10 * HOUR });
    await clock.advance(HOUR - 1);
    expect(plan.isDue({ txid: 5002, sizeBytes: MB })).toBe(false);
  });
});
