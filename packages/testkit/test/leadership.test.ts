import { describe, expect, it } from 'vitest';
import { intervalsOverlap, type LeadershipInterval, leadershipViolations } from '../src/index.ts';

const span = (
  holder: string,
  epoch: number,
  fromMs: number,
  toMs: number | undefined,
  key = 'app',
): LeadershipInterval => ({ key, holder, epoch, fromMs, toMs });

describe('leadershipViolations', () => {
  it('accepts one leader after the other, in any order of the records', () => {
    const history = [
      span('c', 3, 20, undefined),
      span('a', 1, 0, 10),
      span('b', 2, 10, 20),
      span('x', 1, 5, 50, 'other'),
    ];
    expect(leadershipViolations(history)).toEqual([]);
  });

  it('rejects two leaders at once and says for how long', () => {
    const [first, second] = [span('a', 1, 0, 10), span('b', 2, 7, 20)];
    expect(leadershipViolations([second, first])).toEqual([{ type: 'overlap', first, second, overlapMs: 3 }]);
  });

  it('rejects an overlap with one that is not the neighbour', () => {
    const [long, short, late] = [span('a', 1, 0, 100), span('b', 2, 10, 20), span('c', 3, 50, 60)];
    const overlaps = leadershipViolations([long, short, late]).map((v) => (v.type === 'overlap' ? v.second : v));
    expect(overlaps).toEqual([short, late]);
  });

  it('rejects a leader that never ended beside a new one', () => {
    expect(leadershipViolations([span('a', 1, 0, undefined), span('b', 2, 9, 12)])).toMatchObject([{ overlapMs: 3 }]);
  });

  it('rejects one holder that leads twice at once', () => {
    expect(leadershipViolations([span('a', 1, 0, 10), span('a', 2, 5, 15)])).toMatchObject([{ type: 'overlap' }]);
  });

  it('rejects an epoch that did not grow, and an end before the beginning', () => {
    expect(leadershipViolations([span('a', 2, 0, 10), span('b', 2, 10, 20)])).toMatchObject([
      { type: 'epoch_not_grown' },
    ]);
    expect(leadershipViolations([span('a', 1, 10, 9)])).toMatchObject([{ type: 'backwards' }]);
  });
});

describe('intervalsOverlap', () => {
  it('does not count touching', () => {
    expect(intervalsOverlap({ fromMs: 0, toMs: 5 }, { fromMs: 5, toMs: 6 })).toBe(false);
    expect(intervalsOverlap({ fromMs: 0, toMs: undefined }, { fromMs: 5, toMs: 6 })).toBe(true);
  });
});
