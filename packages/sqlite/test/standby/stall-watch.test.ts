import { expect, test } from 'vitest';
import { type StallFacts, StallWatch } from '../../src/standby/stall-watch.ts';

const well: StallFacts = { now: 0, isBehind: false, movedAt: 0, work: undefined, problem: undefined };

test('says so after the bound, with the reason, again at every bound, and not when it is over', () => {
  const watch = new StallWatch(1000);
  const behind = {
    ...well,
    isBehind: true,
    movedAt: 100,
    work: { what: 'transaction 7 is being fetched', since: 300 },
  };
  expect(watch.look({ ...behind, now: 1000 })).toBeUndefined();
  const reason =
    'nothing was applied for 1100 ms though the log has moved on: transaction 7 is being fetched for 900 ms';
  expect(watch.look({ ...behind, now: 1200 })).toEqual({ sinceMs: 1100, reason, isNews: true });
  expect(watch.look({ ...behind, now: 1700 })?.isNews).toBe(false);
  expect(watch.look({ ...behind, now: 2200, problem: 'the disk is full' })).toMatchObject({
    isNews: true,
    reason: expect.stringContaining(': the disk is full'),
  });
  expect(watch.look({ ...behind, now: 2300, isBehind: false })).toBeUndefined();
  expect(watch.look({ ...behind, now: 3400, movedAt: 2350 })?.isNews).toBe(true);
});

test('an idle standby is never stalled', () => {
  expect(new StallWatch(1000).look({ ...well, now: 1e9 })).toBeUndefined();
});
