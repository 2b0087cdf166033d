import { type DatabaseEvent, systemEnv, TaskGroup } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { BackPressure, heldShare, WAL_CAUSE } from '../../src/primary/back-pressure.ts';

test('the share grows from nothing at the soft limit to all at four times of it', () => {
  const shares = [0, 100, 101, 250, 399, 400, 9999].map((used) => heldShare(used, 100));
  expect(shares).toEqual([0, 0, 1 / 300, 0.5, 299 / 300, 1, 1]);
});

/** A WAL of as many bytes as it is told, and how long writers were kept out of it. */
function rig() {
  const clock = new VirtualClock();
  const wal = { used: 0, heldMs: 0, since: undefined as number | undefined, isBusy: false };
  const events: DatabaseEvent[] = [];
  const failures: Error[] = [];
  const tasks = new TaskGroup((error) => failures.push(error));
  const pressure = new BackPressure({
    env: { ...systemEnv(), clock },
    tasks,
    softBytes: 100,
    usedBytes: () => wal.used,
    isHeld: () => wal.since !== undefined,
    hold: () => {
      if (wal.isBusy) return undefined;
      const since = clock.monotonic();
      wal.since = since;
      return () => {
        wal.since = undefined;
        wal.heldMs += clock.monotonic() - since;
      };
    },
    onEvent: (event) => events.push(event),
    onChange: () => {},
  });
  const codes = (): string[] => events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  return { clock, wal, codes, failures, tasks, pressure };
}

test('half way to the hard limit writers are kept out half of the time', async () => {
  const { clock, wal, codes, pressure, failures } = rig();
  wal.used = 250;
  pressure.press(WAL_CAUSE.held);
  await clock.advance(10_000);
  expect(wal.heldMs).toBeGreaterThan(4500);
  expect(wal.heldMs).toBeLessThan(5500);
  expect(codes()).toEqual(['WAL_LARGE']);
  expect(pressure.problem).toContain('250 bytes');
  wal.used = 0;
  await clock.advance(200);
  expect(pressure.problem).toBeUndefined();
  expect(wal.since).toBeUndefined();
  expect(failures).toEqual([]);
});

test('at the hard limit nobody writes until it is shorter', async () => {
  const { clock, wal, codes, pressure } = rig();
  wal.used = 400;
  pressure.press(WAL_CAUSE.unshipped);
  await clock.advance(60_000);
  expect(wal.since).toBeDefined();
  expect(codes()).toEqual(['WAL_FULL']);
  expect(pressure.problem).toContain('kept out');
  wal.used = 150;
  await clock.advance(300);
  expect(wal.since).toBeUndefined();
  expect(pressure.problem).toContain('slowed');
});

test('a hold that was lost while the WAL was begun anew is taken again', async () => {
  const { clock, wal, pressure } = rig();
  wal.used = 400;
  pressure.press(WAL_CAUSE.held);
  await clock.advance(1000);
  wal.since = undefined;
  await clock.advance(200);
  expect(wal.since).toBeDefined();
});

test('a WAL that becomes full while writers are held is full from then on', async () => {
  const { clock, wal, codes, pressure } = rig();
  wal.used = 390;
  pressure.press(WAL_CAUSE.held);
  await clock.advance(10);
  expect([codes(), pressure.isFull]).toEqual([['WAL_LARGE'], false]);
  wal.used = 410;
  await clock.advance(1000);
  expect([codes(), pressure.isFull]).toEqual([['WAL_LARGE', 'WAL_FULL'], true]);
  expect(wal.since).toBeDefined();
});

test('its end lets writers in; a writer that can not be kept out is tried again', async () => {
  const { clock, wal, tasks, pressure, failures } = rig();
  wal.used = 1000;
  wal.isBusy = true;
  pressure.press(WAL_CAUSE.held);
  await clock.advance(1000);
  expect(wal.heldMs).toBe(0);
  wal.isBusy = false;
  await clock.advance(1000);
  expect(wal.since).toBeDefined();
  const stopped = tasks.stop();
  await clock.advance(0);
  await stopped;
  expect(wal.since).toBeUndefined();
  expect(failures).toEqual([]);
});

test('below the limit nothing runs, and the WAL is looked at once a period', async () => {
  const { clock, wal, pressure } = rig();
  let looks = 0;
  Object.defineProperty(wal, 'used', { get: () => ++looks && 50 });
  for (let i = 0; i < 50; i++) pressure.press(WAL_CAUSE.held);
  expect(looks).toBe(1);
  await clock.advance(100);
  pressure.press(WAL_CAUSE.held);
  expect(looks).toBe(2);
});
