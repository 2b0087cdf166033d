import { describe, expect, test } from 'vitest';
import { type VerifySituation, verifyDueAt } from '../../src/verify/schedule.ts';

const HOUR = 3_600_000;
const BASE: VerifySituation = {
  role: 'standby',
  intervalMs: 24 * HOUR,
  lastVerifiedAt: 100 * HOUR,
  lastFailedAt: undefined,
  startedAt: 90 * HOUR,
  chance: 0,
};
const due = (changes: Partial<VerifySituation>): number | undefined => {
  const at = verifyDueAt({ ...BASE, ...changes });
  return at === undefined ? undefined : at / HOUR;
};

describe('verifyDueAt', () => {
  test('a standby once the interval is over, the primary only when no standby has done it', () => {
    expect(due({})).toBe(124);
    expect(due({ chance: 1 })).toBeCloseTo(125.2);
    expect(due({ role: 'primary' })).toBeCloseTo(126.4);
    expect(due({ role: 'primary' })).toBeGreaterThan(due({ chance: 1 }) as number);
    expect(due({ role: 'other' })).toBeUndefined();
    expect(due({ intervalMs: 0 })).toBeUndefined();
  });

  test('without any proof soon after the start; after a failure not at once', () => {
    expect(due({ lastVerifiedAt: undefined })).toBe(90.25);
    expect(due({ lastVerifiedAt: undefined, intervalMs: 60_000 })).toBeCloseTo(90 + 1 / 60);
    expect(due({ lastFailedAt: 130 * HOUR })).toBe(131);
    expect(due({ lastFailedAt: 110 * HOUR })).toBe(124);
  });
});
