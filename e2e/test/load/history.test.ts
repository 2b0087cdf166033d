import { describe, expect, it } from 'vitest';
import { History, type Outcome, type RequestRecord } from '../../src/load/history.ts';
import { judge } from '../../src/load/outcome.ts';

function history(...ends: readonly (number | [number, Outcome])[]): History {
  const made = new History(1000, 0);
  for (const [i, end] of ends.entries()) {
    const [endedAt, outcome] = typeof end === 'number' ? [end, 'acknowledged' as const] : end;
    made.add({
      id: `t${i}`,
      from: 'a',
      to: 'b',
      amount: 1,
      url: 'u',
      startedAt: endedAt - 2,
      endedAt,
      outcome,
      status: undefined,
      reason: undefined,
    });
  }
  return made;
}

describe('gap', () => {
  it('counts from the last acknowledgement before the fault', () =>
    expect(history(10, 20, 100, 110).gap(25, 120)).toEqual({ ms: 80, from: 20, to: 100, open: false }));

  it('sees what is not acknowledged as silence', () =>
    expect(history(10, [40, 'refused'], [60, 'unknown'], 90).gap(30, 100).ms).toBe(80));

  it('ignores longer silences before the window', () =>
    expect(history(10, 500, 510, 530).gap(505, 540)).toMatchObject({ ms: 20, from: 510, to: 530 }));

  it('ignores longer silences after the window', () =>
    expect(history(10, 20, 30, 400).gap(15, 500, 25)).toMatchObject({ ms: 10, from: 10 }));

  it('counts on when writes have not come back', () =>
    expect(history(10, 20).gap(15, 1000)).toEqual({ ms: 980, from: 20, to: 1000, open: true }));

  it('counts from the start of the load when nothing was ever acknowledged', () =>
    expect(history([5, 'unknown']).gap(50, 100)).toEqual({ ms: 100, from: 0, to: 100, open: true }));
});

describe('the history', () => {
  it('gives the first acknowledgement of each transfer, and counts by time', () => {
    const made = history(10, [20, 'unknown'], 30);
    made.add({ ...(made.records[0] as RequestRecord), endedAt: 40 });
    expect(made.acknowledged().map((record) => [record.id, record.endedAt])).toEqual([
      ['t0', 10],
      ['t2', 30],
    ]);
    expect(made.acknowledgedSince(30)).toBe(2);
    expect(made.latency()).toEqual({ count: 3, p50Ms: 2, p99Ms: 32, maxMs: 32 });
    expect(made.latency(100)).toMatchObject({ count: 0, p50Ms: Number.NaN });
  });
});

describe('the outcome of a reply', () => {
  it.each<[number, Outcome]>([
    [201, 'acknowledged'],
    [200, 'acknowledged'],
    [409, 'refused'],
    [404, 'refused'],
    [202, 'unknown'],
    [408, 'unknown'],
    [429, 'unknown'],
    [500, 'unknown'],
    [502, 'unknown'],
    [503, 'unknown'],
    [504, 'unknown'],
  ])('%d is %s', (status, outcome) => expect(judge({ type: 'answer', status, body: {} }).outcome).toBe(outcome));

  it('is unknown without an answer', () =>
    expect(judge({ type: 'none', reason: 'reset' })).toEqual({
      outcome: 'unknown',
      status: undefined,
      reason: 'reset',
    }));
});
