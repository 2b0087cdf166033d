import { VirtualClock } from '@canopy/core/testing';
import { expect, it } from 'vitest';
import { Pace } from '../../src/load/pace.ts';

const never = new AbortController().signal;

it('gives turns at even distances, whoever asks', async () => {
  const clock = new VirtualClock();
  const pace = new Pace(clock, 100);
  await pace.next(never);
  const began = clock.monotonic();
  const turns: number[] = [];
  const worker = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) {
      await pace.next(never);
      turns.push(clock.monotonic() - began);
    }
  };
  const working = Promise.all([worker(), worker()]);
  await clock.advance(1000);
  await working;
  expect(turns).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
});

it('does not make up for the turns of an outage', async () => {
  const clock = new VirtualClock();
  const pace = new Pace(clock, 100);
  await pace.next(never);
  await clock.advance(5000);
  const turns: number[] = [];
  const working = (async () => {
    for (let i = 0; i < 4; i++) {
      await pace.next(never);
      turns.push(clock.monotonic());
    }
  })();
  await clock.advance(1000);
  await working;
  expect(turns.map((turn) => turn - (turns[0] as number))).toEqual([0, 0, 10, 20]);
});

it('ends a wait when the load ends', async () => {
  const clock = new VirtualClock();
  const pace = new Pace(clock, 1);
  const stop = new AbortController();
  for (let i = 0; i < 2; i++) await pace.next(never);
  const waiting = pace.next(stop.signal);
  stop.abort(new Error('ended'));
  await expect(waiting).rejects.toThrow('ended');
});
