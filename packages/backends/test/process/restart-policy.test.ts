import { seededRandom } from '@canopy/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideRestart, type RestartCause, type RestartPolicy } from '../../src/process/restart-policy.ts';

const policy: RestartPolicy = {
  mode: 'on-failure',
  maxRestarts: 3,
  withinMs: 1000,
  backoff: { initialMs: 100, maxMs: 400 },
};
const crash: RestartCause = { type: 'exited', code: 1, signal: undefined };
const fine: RestartCause = { type: 'exited', code: 0, signal: undefined };
const random = seededRandom(1);

describe('decideRestart', () => {
  test('what each mode restarts', () => {
    const asks = (mode: RestartPolicy['mode'], cause: RestartCause): boolean =>
      decideRestart({ ...policy, mode }, [], cause, 0, random).restart;
    const killed: RestartCause = { type: 'exited', code: undefined, signal: 'SIGKILL' };
    const causes = [crash, fine, killed, { type: 'unhealthy' }, { type: 'start_failed' }] as const;
    expect(causes.map((cause) => asks('on-failure', cause))).toEqual([true, false, true, true, true]);
    expect(causes.map((cause) => asks('always', cause))).toEqual([true, true, true, true, true]);
    expect(causes.map((cause) => asks('never', cause))).toEqual([false, false, false, false, false]);
  });

  test('the pause doubles with the restarts in the window, up to the maximum', () => {
    const pause = (history: number[]): number => {
      const decision = decideRestart({ ...policy, maxRestarts: 9 }, history, crash, 500, random);
      return decision.restart ? decision.delayMs : Number.NaN;
    };
    expect(pause([])).toBeLessThanOrEqual(100);
    expect(pause([1])).toBeGreaterThanOrEqual(100);
    expect(pause([1, 2])).toBeGreaterThanOrEqual(200);
    expect(pause([1, 2, 3, 4, 5])).toBeLessThanOrEqual(400);
  });

  test('no more than maxRestarts in any window, whatever the times', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(700), { maxLength: 60 }), (gaps) => {
        let now = 0;
        let history: readonly number[] = [];
        const granted: number[] = [];
        for (const gap of gaps) {
          now += gap;
          const decision = decideRestart(policy, history, crash, now, random);
          if (!decision.restart) {
            expect(decision.why).toBe('exhausted');
            expect(granted.filter((at) => at > now - policy.withinMs)).toHaveLength(policy.maxRestarts);
            continue;
          }
          history = decision.history;
          granted.push(now);
          expect(history.length).toBeLessThanOrEqual(policy.maxRestarts);
        }
        for (const at of granted)
          expect(granted.filter((other) => other > at - policy.withinMs && other <= at).length).toBeLessThanOrEqual(3);
      }),
    );
  });
});
