import { describe, expect, test } from 'vitest';
import { nextLook, planCompaction } from '../../src/levels/planning.ts';
import { formatName, type LogEntry } from '../../src/log/names.ts';

const LEVELS = [30, 300];

function entry(level: number, minTxid: number, maxTxid: number, timestamp: number, storedAt = timestamp): LogEntry {
  const name = formatName({ level, minTxid, maxTxid });
  return { level, minTxid, maxTxid, timestamp, storedAt, size: 100, name } as LogEntry;
}

const shown = (entries: LogEntry[], now: number, levels = LEVELS): string => {
  const plan = planCompaction(entries, levels, now);
  return plan === undefined ? '-' : `${plan.level}:${plan.minTxid}-${plan.maxTxid} of ${plan.inputs.length}`;
};

describe('planCompaction', () => {
  test('what was written within one stretch of the clock, once it is over', () => {
    const log = [entry(0, 1, 1, 3), entry(0, 2, 2, 29), entry(0, 3, 3, 31), entry(0, 4, 4, 95)];
    expect(shown(log, 29)).toBe('1:1-2 of 2');
    expect(shown(log.slice(0, 2), 29)).toBe('-');
    expect(shown(log.slice(0, 2), 30)).toBe('1:1-2 of 2');
    expect(shown([...log, entry(1, 1, 2, 29)], 40)).toBe('1:3-3 of 1');
    expect(shown([...log, entry(1, 1, 2, 29), entry(1, 3, 3, 31)], 119)).toBe('-');
    expect(shown([...log, entry(1, 1, 2, 29), entry(1, 3, 3, 31)], 120)).toBe('1:4-4 of 1');
  });

  test('higher levels from the level below, lower levels first; none when levels are off', () => {
    const log = [entry(1, 1, 5, 20), entry(1, 6, 9, 290), entry(1, 10, 12, 310), entry(0, 13, 13, 590)];
    expect(shown(log, 600)).toBe('1:13-13 of 1');
    expect(shown(log.slice(0, 3), 600)).toBe('2:1-9 of 2');
    expect(shown([...log.slice(0, 3), entry(2, 1, 9, 290)], 600)).toBe('2:10-12 of 1');
    expect(shown(log, 600, [])).toBe('-');
  });

  test('a gap is stepped over only below a full image', () => {
    const log = [entry(1, 1, 3, 5), entry(0, 6, 6, 10), entry(0, 7, 7, 11)];
    expect(shown(log, 60, [30])).toBe('-');
    expect(shown([...log, entry(9, 1, 4, 9)], 60, [30])).toBe('-');
    expect(shown([...log, entry(9, 1, 5, 9)], 60, [30])).toBe('1:6-7 of 2');
    expect(shown([entry(0, 2, 2, 1)], 60, [30])).toBe('-');
    expect(shown([entry(0, 1, 1, 1), entry(0, 3, 3, 2)], 60, [30])).toBe('1:1-1 of 1');
  });

  test('overlapping files of two maintainers: what reaches furthest', () => {
    const log = [entry(1, 1, 5, 10), entry(1, 1, 8, 12), entry(1, 6, 10, 13), entry(2, 1, 3, 5)];
    expect(shown(log, 400)).toBe('2:1-10 of 2');
  });

  test('an output ends where one primary took over from another', () => {
    const by = (at: LogEntry, epoch: number): LogEntry => ({ ...at, epoch, node: `n${epoch}` }) as unknown as LogEntry;
    const log = [by(entry(0, 1, 1, 1), 1), by(entry(0, 2, 2, 2), 1), by(entry(0, 3, 3, 3), 2)];
    expect(shown(log, 5)).toBe('1:1-2 of 2');
    expect(shown([...log, by(entry(1, 1, 2, 2), 1)], 5)).toBe('-');
    expect(shown([...log, by(entry(1, 1, 2, 2), 1)], 30)).toBe('1:3-3 of 1');
    expect(shown([by(entry(1, 1, 2, 2), 1), by(entry(1, 3, 3, 3), 2)], 30)).toBe('2:1-2 of 1');
  });

  test('an output ends before a full image, and begins with it', () => {
    const image = (at: LogEntry): LogEntry => ({ ...at, kind: 'snapshot' });
    const log = [image(entry(0, 1, 1, 1)), entry(0, 2, 2, 2), image(entry(0, 3, 3, 3)), entry(0, 4, 4, 4)];
    expect(shown(log, 30)).toBe('1:1-2 of 2');
    const low = image(entry(1, 1, 2, 2));
    expect(shown([...log, low], 30)).toBe('1:3-4 of 2');
    expect(shown([low, image(entry(1, 3, 4, 4))], 300)).toBe('2:1-2 of 1');
  });

  test('clocks that jump: one set back stays in the stretch, one ahead does not hold the level up', () => {
    expect(shown([entry(0, 1, 1, 40), entry(0, 2, 2, 10), entry(0, 3, 3, 50), entry(0, 4, 4, 70)], 60)).toBe(
      '1:1-3 of 3',
    );
    expect(shown([entry(0, 1, 1, 999_999, 10)], 30)).toBe('1:1-1 of 1');
  });

  test('one step is bounded', () => {
    const many = Array.from({ length: 5000 }, (_, i) => entry(0, i + 1, i + 1, 1));
    expect(shown(many, 5)).toBe('1:1-4096 of 4096');
    const large = [1, 2, 3].map((txid) => ({ ...entry(0, txid, txid, 1), size: 600 * 1024 * 1024 }));
    expect(shown(large, 5)).toBe('1:1-1 of 1');
  });

  test('the next look is the next multiple of the shortest interval', () => {
    expect(nextLook(LEVELS, 0)).toBe(30);
    expect(nextLook(LEVELS, 31)).toBe(60);
    expect(nextLook([], 31)).toBeUndefined();
  });
});
