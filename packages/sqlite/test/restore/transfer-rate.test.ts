import { expect, test } from 'vitest';
import { RateMeter } from '../../src/restore/transfer-rate.ts';

test('the rate of the last seconds, and what is left at that rate', () => {
  const meter = new RateMeter();
  expect(meter.add(0, 0, 100_000)).toEqual({ bytesPerSecond: undefined, leftMs: undefined });
  expect(meter.add(400, 400, 100_000).bytesPerSecond).toBeUndefined();
  expect(meter.add(1000, 1000, 100_000)).toEqual({ bytesPerSecond: 1000, leftMs: 99_000 });
  for (let at = 1100; at <= 20_000; at += 100) meter.add(at, 1000 + (at - 1000) * 2, 100_000);
  expect(meter.add(20_000, 39_000, 100_000).bytesPerSecond).toBeCloseTo(2000, -1);
  // A pause shows within seconds.
  for (let at = 20_100; at <= 30_000; at += 100) meter.add(at, 39_000, 100_000);
  expect(meter.add(30_000, 39_000, 100_000)).toEqual({ bytesPerSecond: 0, leftMs: undefined });
});
