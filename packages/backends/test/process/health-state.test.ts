import { expect, test } from 'vitest';
import { HEALTH_UNKNOWN, startProbePauseMs, stepHealth } from '../../src/process/health-state.ts';

const rules = { healthyAfter: 2, unhealthyAfter: 3 };

function run(answers: string): (boolean | undefined)[] {
  let state = HEALTH_UNKNOWN;
  return [...answers].map((answer) => {
    state = stepHealth(state, { ok: answer === '+', detail: answer }, rules);
    return state.healthy;
  });
}

test('counts in a row decide, either way', () => {
  expect(run('+')).toEqual([undefined]);
  expect(run('++')).toEqual([undefined, true]);
  expect(run('+-+-')).toEqual([undefined, undefined, undefined, undefined]);
  expect(run('++--+')).toEqual([undefined, true, true, true, true]);
  expect(run('++---')).toEqual([undefined, true, true, true, false]);
  expect(run('---++')).toEqual([undefined, undefined, false, false, true]);
});

test('a start probes at once and then ever more slowly, within the interval', () => {
  const pauses = Array.from({ length: 50 }, (_, i) => startProbePauseMs(i, 1000));
  expect(pauses[0]).toBe(10);
  expect(pauses.every((pause, i) => i === 0 || pause >= (pauses[i - 1] as number))).toBe(true);
  expect(Math.max(...pauses)).toBe(250);
  expect(startProbePauseMs(50, 20)).toBe(20);
});
