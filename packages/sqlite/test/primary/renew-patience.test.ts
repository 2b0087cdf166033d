import { expect, test } from 'vitest';
import { RenewPatience } from '../../src/primary/renew-patience.ts';

test('each failure waits for several times as long, to a bound; what was enough is forgotten slowly', () => {
  const patience = new RenewPatience();
  const waits = Array.from({ length: 6 }, () => {
    const { ms } = patience;
    patience.tried(false);
    return ms;
  });
  expect(waits).toEqual([300, 900, 2700, 8100, 8100, 8100]);
  patience.tried(true);
  expect(patience.ms).toBeCloseTo(6480);
  for (let i = 0; i < 100; i++) patience.tried(true);
  expect(patience.ms).toBe(300);
});
