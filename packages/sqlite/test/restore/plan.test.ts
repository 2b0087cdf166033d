import { epoch } from '@canopy/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatName, type LogEntry } from '../../src/log/names.ts';
import { planRestore, type RestoreTarget } from '../../src/restore/plan.ts';

function entry(level: number, minTxid: number, maxTxid: number, timestamp = maxTxid * 1000): LogEntry {
  return {
    level,
    minTxid,
    maxTxid,
    timestamp,
    name: formatName({ level, minTxid, maxTxid }),
    size: 100,
    revision: maxTxid,
    epoch: epoch(1),
    node: 'a',
    kind: minTxid === 1 ? 'snapshot' : 'commit',
    storedAt: timestamp,
    digest: undefined,
    walEnd: undefined,
    note: undefined,
  };
}

const run = (from: number, to: number): LogEntry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(0, from + i, from + i));
const shown = (plan: readonly LogEntry[]): string =>
  plan.map(({ level, minTxid, maxTxid }) => `${level}:${minTxid}-${maxTxid}`).join(' ');
const code = (entries: readonly LogEntry[], target?: RestoreTarget): string | undefined => {
  try {
    planRestore('b', entries, target);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return undefined;
};

describe('planRestore', () => {
  test('an image among the transactions is where it begins, merged with what follows it or not', () => {
    const image = (level: number, from: number, to: number): LogEntry => ({
      ...entry(level, from, to),
      kind: 'snapshot',
    });
    const log = [entry(9, 1, 2), ...run(3, 5), image(0, 6, 6), ...run(7, 8)];
    expect(shown(planRestore('b', log))).toBe('0:6-6 0:7-7 0:8-8');
    expect(shown(planRestore('b', log, { txid: 5 }))).toBe('9:1-2 0:3-3 0:4-4 0:5-5');
    expect(shown(planRestore('b', log, { txid: 6 }))).toBe('0:6-6');
    expect(shown(planRestore('b', [entry(1, 1, 5), image(1, 6, 8), entry(0, 9, 9)]))).toBe('1:6-8 0:9-9');
    expect(shown(planRestore('b', [...log, entry(9, 1, 7)])), 'a newer one of its own level').toBe('9:1-7 0:8-8');
    // Where nothing before it is left.
    expect(shown(planRestore('b', [image(0, 6, 6), entry(0, 7, 7)]))).toBe('0:6-6 0:7-7');
  });

  test('newest snapshot, then single transactions', () => {
    const log = [entry(9, 1, 3), entry(9, 1, 7), ...run(5, 9)];
    expect(shown(planRestore('b', log))).toBe('9:1-7 0:8-8 0:9-9');
  });

  test('without a snapshot the first entry is the image', () => {
    expect(shown(planRestore('b', run(1, 3)))).toBe('0:1-1 0:2-2 0:3-3');
  });

  test('takes the longest steps, higher levels first, overlap allowed', () => {
    const log = [entry(9, 1, 4), ...run(3, 12), entry(1, 3, 6), entry(1, 7, 9), entry(2, 3, 9)];
    expect(shown(planRestore('b', log))).toBe('9:1-4 2:3-9 0:10-10 0:11-11 0:12-12');
  });

  test('a transaction of another epoch is refused; one of no epoch, and a target without one, are not', () => {
    const log = [...run(1, 3), { ...entry(0, 4, 4), epoch: epoch(2) }, { ...entry(0, 5, 5), epoch: epoch(0) }];
    expect(code(log, { txid: 4, epoch: 1 })).toBe('SQLITE_POSITION_UNKNOWN');
    expect(code(log, { txid: 4, epoch: 2 })).toBeUndefined();
    expect(code(log, { txid: 4, epoch: 0 })).toBeUndefined();
    expect(code(log, { txid: 4 })).toBeUndefined();
    expect(code(log, { txid: 5, epoch: 3 })).toBeUndefined();
    expect(code(log, { txid: 9, epoch: 1 })).toBe('SQLITE_TARGET_UNREACHABLE');
    expect(() => planRestore('b', log, { txid: 4, epoch: 1 })).toThrow(/1\.0+4 under epoch 2/);
  });

  test('an exact transaction, and a moment (strictly before)', () => {
    const log = [entry(9, 1, 3), entry(9, 1, 7), ...run(4, 9)];
    expect(shown(planRestore('b', log, { txid: 5 }))).toBe('9:1-3 0:4-4 0:5-5');
    expect(shown(planRestore('b', log, { timestamp: 5000 }))).toBe('9:1-3 0:4-4');
    expect(shown(planRestore('b', log, { timestamp: 7001 }))).toBe('9:1-7');
  });

  test('says why a point cannot be reached', () => {
    const log = [entry(9, 1, 3), ...run(6, 9), entry(9, 1, 7)];
    expect(code([])).toBe('SQLITE_LOG_EMPTY');
    expect(code(log)).toBeUndefined();
    expect(code(log, { txid: 5 })).toBe('SQLITE_TARGET_UNREACHABLE');
    expect(code(log, { txid: 10 })).toBe('SQLITE_TARGET_UNREACHABLE');
    expect(code([entry(9, 1, 3), ...run(6, 9)], { txid: 6 })).toBe('SQLITE_LOG_GAP');
    expect(() => planRestore('b', log, { txid: 5 })).toThrow(/0003 before it and 0000000000000007 after it/);
    expect(code(log, { timestamp: 3000 })).toBe('SQLITE_TARGET_UNREACHABLE');
    expect(code(run(2, 5))).toBe('SQLITE_LOG_GAP');
    expect(code([entry(9, 1, 3), ...run(5, 6)])).toBe('SQLITE_LOG_GAP');
    expect(() => planRestore('b', [entry(9, 1, 3), ...run(6, 7)])).toThrow('4 to 5');
  });

  test('any log: a plan is one unbroken chain to the end, and fails only where none exists', () => {
    const level = fc.integer({ min: 0, max: 3 });
    const file = fc
      .tuple(level, fc.integer({ min: 1, max: 14 }), fc.integer({ min: 0, max: 5 }))
      .map(([at, min, length]) => entry(at, min, min + (at === 0 ? 0 : length)));
    const snapshot = fc.integer({ min: 1, max: 14 }).map((txid) => entry(9, 1, txid));
    fc.assert(
      fc.property(fc.array(fc.oneof(file, file, snapshot), { minLength: 1, maxLength: 14 }), (entries) => {
        const end = Math.max(...entries.map((one) => one.maxTxid));
        const base = Math.max(0, ...entries.filter((one) => one.level === 9).map((one) => one.maxTxid));
        let reach = base;
        for (let moved = true; moved; ) {
          moved = false;
          for (const one of entries)
            if (one.minTxid <= reach + 1 && one.maxTxid > reach) {
              reach = one.maxTxid;
              moved = true;
            }
        }
        if (reach < end) {
          expect(code(entries)).toBe('SQLITE_LOG_GAP');
          return;
        }
        const plan = planRestore('b', entries);
        let current = 0;
        for (const one of plan) {
          expect(one.minTxid).toBeLessThanOrEqual(current + 1);
          expect(one.maxTxid).toBeGreaterThan(current);
          current = one.maxTxid;
        }
        expect(current).toBe(end);
      }),
      { numRuns: 500 },
    );
  });
});
