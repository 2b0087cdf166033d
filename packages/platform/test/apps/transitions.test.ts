import { systemEnv } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import { expect, it } from 'vitest';
import { HoldOff } from '../../src/apps/hold-off.ts';
import { HookRunner } from '../../src/apps/hooks.ts';
import { LeaderWatch } from '../../src/apps/leader-watch.ts';
import { Timeline } from '../../src/apps/timeline.ts';

it('a hold-off grows with each failure, and a good term clears it', async () => {
  const clock = new VirtualClock();
  const holdOff = new HoldOff(clock, seededRandom(1));
  const rests = [holdOff.ended(true), holdOff.ended(true), holdOff.ended(true)];
  expect(holdOff.failures).toBe(3);
  for (const [i, ms] of rests.entries()) {
    expect(ms).toBeGreaterThanOrEqual(500 * 2 ** i);
    expect(ms).toBeLessThanOrEqual(1000 * 2 ** i);
  }
  expect(holdOff.leftMs).toBe(rests[2]);
  await clock.advance(10_000);
  expect(holdOff.leftMs).toBe(0);
  // A term that served only shortly is no success.
  holdOff.served();
  await clock.advance(29_000);
  holdOff.ended(true);
  expect(holdOff.failures).toBe(4);
  holdOff.served();
  await clock.advance(31_000);
  expect(holdOff.ended(false)).toBe(0);
  expect(holdOff.failures).toBe(0);
});

it('a timeline counts from the loss, tells how long it took, and is bounded', async () => {
  const clock = new VirtualClock();
  const told: [string, number, number | undefined][] = [];
  const timeline = new Timeline(clock, (entry, lostMs) => told.push([entry.event, entry.ms, lostMs]), 4);
  timeline.add('lost', { detail: 'n2' });
  await clock.advance(30);
  timeline.add('elected', { epoch: 3 });
  await clock.advance(120);
  timeline.add('serving', { epoch: 3 });
  await clock.advance(5000);
  timeline.add('stepping_down', { epoch: 3 });
  await clock.advance(10);
  timeline.add('gate_closed', { epoch: 3 });
  expect(told).toEqual([
    ['lost', 0, 0],
    ['elected', 30, 30],
    ['serving', 150, 150],
    ['stepping_down', 0, undefined],
    ['gate_closed', 10, undefined],
  ]);
  expect(timeline.entries().map(({ event }) => event)).toEqual(['elected', 'serving', 'stepping_down', 'gate_closed']);
  expect(timeline.entries()[0]).toEqual({
    at: 1_700_000_000_030,
    monotonic: 1030,
    event: 'elected',
    ms: 30,
    epoch: 3,
  });
});

it('a change of leader is one loss, and the hook hears the latest of several', async () => {
  const clock = new VirtualClock();
  const env = systemEnv({ clock });
  const timeline = new Timeline(clock, () => {});
  const heard: (string | undefined)[] = [];
  const busy = Promise.withResolvers<void>();
  const hooks = new HookRunner('x', 'n1', env);
  const watch = new LeaderWatch({ node: 'n1', hook: ({ leader }) => void heard.push(leader), hooks, timeline });
  const before = hooks.run('onStandby', () => busy.promise, {});
  watch.seen({ id: 'n2' }, 1);
  watch.seen({ id: undefined }, 1);
  watch.seen({ id: undefined }, 1);
  watch.elected(2);
  watch.seen({ id: 'n1' }, 2);
  busy.resolve();
  await before;
  await clock.advance(1);
  expect(timeline.entries().map(({ event }) => event)).toEqual(['following', 'lost', 'elected']);
  expect(heard).toEqual(['n1']);
  expect(watch.epoch).toBe(2);
});
