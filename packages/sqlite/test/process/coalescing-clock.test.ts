import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { coalescingClock } from '../../src/process/coalescing-clock.ts';

test('long waits end together, never early and at most a quarter of a second late; short ones are exact', async () => {
  const base = new VirtualClock();
  const clock = coalescingClock(base);
  const from = base.monotonic();
  const ran: { due: number; at: number }[] = [];
  for (const ms of [0, 7, 999, 1499, 1500, 1510, 1604, 1730, 1751, 2249, 5001])
    clock.timer(ms, () => ran.push({ due: ms, at: base.monotonic() - from }));
  await base.advance(6000);
  expect(ran).toHaveLength(11);
  for (const { due, at } of ran) {
    expect(at).toBeGreaterThanOrEqual(due);
    expect(at - due).toBeLessThanOrEqual(due < 1500 ? 0 : 250);
  }
  const wakeUps = new Set(ran.filter(({ due }) => due >= 1500).map(({ at }) => at));
  expect(wakeUps.size).toBeLessThanOrEqual(5);
});

test('one that is cancelled, before or by another of the same moment, does not run; the others do', async () => {
  const base = new VirtualClock();
  const clock = coalescingClock(base);
  const ran: string[] = [];
  const early = clock.timer(1600, () => ran.push('early'));
  clock.timer(1600, () => {
    ran.push('first');
    second.cancel();
  });
  const second = clock.timer(1600, () => ran.push('second'));
  clock.timer(1600, () => ran.push('third'));
  early.cancel();
  early.cancel();
  clock.timer(1600, () => ran.push('alone')).cancel();
  const controller = new AbortController();
  const slept = clock.sleep(4000, { signal: controller.signal }).catch((error: Error) => error.message);
  await base.advance(2000);
  expect(ran).toEqual(['first', 'third']);
  controller.abort(new Error('enough'));
  expect(await slept).toBe('enough');
  clock.timer(1600, () => ran.push('again'));
  await base.advance(2000);
  expect(ran).toEqual(['first', 'third', 'again']);
});
