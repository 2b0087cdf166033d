import { epoch } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import { formatName, type LogEntry } from '../../src/log/names.ts';
import { summarizeLog } from '../../src/log/summary.ts';

function entry(level: number, minTxid: number, maxTxid: number, by = 1): LogEntry {
  return {
    level,
    minTxid,
    maxTxid,
    timestamp: maxTxid * 1000,
    name: formatName({ level, minTxid, maxTxid }),
    size: 100,
    revision: maxTxid,
    epoch: epoch(by),
    node: `n${by}`,
    kind: minTxid === 1 ? 'snapshot' : 'commit',
    storedAt: maxTxid * 1000,
    digest: undefined,
    walEnd: undefined,
    note: undefined,
  };
}

const run = (from: number, to: number, by = 1): LogEntry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(0, from + i, from + i, by));
const summary = (entries: LogEntry[], proven?: number) =>
  summarizeLog(
    'b',
    entries.toSorted((a, b) => a.maxTxid - b.maxTxid || a.minTxid - b.minTxid || a.level - b.level),
    proven === undefined ? undefined : { epoch: epoch(1), txid: proven },
  );
const problems = (entries: LogEntry[], proven?: number): string =>
  summary(entries, proven)
    .problems.map(({ problem }) => problem)
    .join('\n');

describe('a log judged by its listing', () => {
  test('end, last writer, newest image and levels', () => {
    const seen = summary([...run(1, 2), ...run(3, 6, 2), entry(1, 2, 4), entry(1, 5, 6, 2), entry(9, 1, 4)], 6);
    expect(seen.end).toMatchObject({ level: 0, maxTxid: 6, epoch: 2, node: 'n2' });
    expect(seen.snapshot).toMatchObject({ level: 9, maxTxid: 4 });
    expect(seen.levels).toEqual([
      { level: 0, objects: 6, bytes: 600, minTxid: 1, maxTxid: 6 },
      { level: 1, objects: 2, bytes: 200, minTxid: 2, maxTxid: 6 },
      { level: 9, objects: 1, bytes: 100, minTxid: 1, maxTxid: 4 },
    ]);
    expect(seen.problems).toEqual([]);
  });

  test('the image that a log begins with counts until there is another', () => {
    expect(summary(run(1, 3)).snapshot).toMatchObject({ level: 0, maxTxid: 1 });
    expect(summary(run(2, 3)).snapshot).toBeUndefined();
  });

  test('an empty log has neither end nor problems', () => {
    expect(summary([])).toEqual({ end: undefined, snapshot: undefined, levels: [], problems: [] });
  });

  test('trimmed single transactions are no hole, nor is one that is merged over', () => {
    expect(problems([entry(9, 1, 8), entry(1, 5, 9), ...run(8, 12)])).toBe('');
    expect(problems([...run(1, 3), entry(1, 2, 4), entry(1, 5, 6), ...run(6, 8)])).toBe('');
  });

  test('a hole is told with its ends, many are counted', () => {
    const holed = [entry(9, 1, 1), entry(9, 1, 20), ...run(2, 4), ...run(7, 9), entry(1, 4, 5), ...run(12, 20)];
    expect(problems(holed)).toBe(
      'the history has holes: 0000000000000005 to 0000000000000006, 000000000000000a to 000000000000000b are missing',
    );
    const many = [
      entry(9, 1, 1),
      entry(1, 1, 1),
      entry(9, 1, 20),
      ...[2, 4, 6, 8, 10, 12].map((at) => entry(0, at, at)),
    ];
    expect(problems(many)).toContain('and 2 more are missing');
  });

  test('one that is left over alone before all others, under an image, makes no hole; more than one, or above it, does', () => {
    const log = [entry(9, 1, 20), entry(1, 18, 25), ...run(24, 30)];
    expect(problems([entry(0, 5, 5), ...log])).toBe('');
    expect(problems([entry(0, 1, 1), ...log])).toBe('');
    expect(problems([entry(0, 22, 22), ...log])).toBe('');
    expect(problems([...run(5, 6), ...log])).toContain('0000000000000007 to 0000000000000017 are missing');
    const unmerged = [entry(9, 1, 10), entry(9, 1, 20), ...run(18, 30)];
    expect(problems([entry(0, 15, 15), ...unmerged]), 'images alone decide').toBe('');
    expect(problems([entry(0, 15, 15), entry(1, 1, 12), ...unmerged])).toContain('holes');
    expect(problems([entry(9, 1, 20), entry(0, 5, 5), ...run(22, 30)])).toContain("can't be restored");
    expect(problems([...run(1, 1), ...run(3, 9), entry(9, 1, 1)])).toContain('holes');
  });

  test('an end that cannot be restored', () => {
    expect(problems([...run(1, 3), ...run(5, 6)])).toContain("the end of the log can't be restored");
    expect(problems(run(4, 6))).toContain('no full image begins the history');
  });

  test('an epoch that falls, but for what another program wrote', () => {
    expect(problems([...run(1, 3, 5), ...run(4, 5, 4)])).toContain('0000000000000004 has epoch 4 (node n4)');
    expect(problems([...run(1, 3, 5), ...run(4, 5, 0), ...run(6, 7, 6)])).toBe('');
  });

  test('an end before what was proven once', () => {
    expect(problems(run(1, 3), 7)).toContain('it has lost its end');
    expect(problems(run(1, 3), 3)).toBe('');
  });
});
