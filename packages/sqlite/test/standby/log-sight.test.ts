import { expect, test } from 'vitest';
import { LogSight, type SightNews } from '../../src/standby/log-sight.ts';

/** A look a second; `seen` is how long ago something was heard. */
function looks(sight: LogSight, from: number, count: number, at: { isConnected: boolean; seenAt?: number }) {
  const news: (SightNews & { at: number })[] = [];
  for (let now = from; now < from + count * 1000; now += 1000) {
    const told = sight.look({ now, isConnected: at.isConnected, seenAt: at.seenAt ?? now - 100 });
    if (told !== undefined) news.push({ ...told, at: now });
  }
  return news;
}

test('without a connection: dark at once, told after two seconds, once; over when the log was heard of again', () => {
  const sight = new LogSight();
  expect(looks(sight, 0, 5, { isConnected: true })).toEqual([]);
  expect(sight.isDark).toBe(false);
  looks(sight, 5000, 1, { isConnected: false, seenAt: 4900 });
  expect([sight.isDark, sight.problem]).toEqual([true, undefined]);
  expect(looks(sight, 6000, 60, { isConnected: false, seenAt: 4900 })).toEqual([
    { type: 'interrupted', at: 7000, ms: 2000, reason: expect.stringContaining('NATS is away') },
  ]);
  expect(sight.problem).toContain('NATS is away');
  // Connected, but nothing was heard yet: what was known is old.
  expect(looks(sight, 66_000, 2, { isConnected: true, seenAt: 4900 })).toEqual([]);
  expect(sight.isDark).toBe(true);
  expect(looks(sight, 68_000, 9, { isConnected: true })).toEqual([{ type: 'resumed', at: 68_000, ms: 63_000 }]);
  expect([sight.isDark, sight.problem]).toEqual([false, undefined]);
});

test('a server that is away for a moment is not told of', () => {
  const sight = new LogSight();
  looks(sight, 0, 3, { isConnected: true });
  expect(looks(sight, 3000, 2, { isConnected: false, seenAt: 2900 })).toEqual([]);
  expect(looks(sight, 5000, 5, { isConnected: true })).toEqual([]);
});

test('a connection on which nothing is heard: told past the bound', () => {
  const sight = new LogSight();
  expect(looks(sight, 0, 20, { isConnected: true, seenAt: 0 })).toEqual([
    { type: 'interrupted', at: 7000, ms: 7000, reason: expect.stringContaining('the log does not answer') },
  ]);
  expect(looks(sight, 20_000, 2, { isConnected: true })).toMatchObject([{ type: 'resumed', at: 20_000 }]);
});

test('a process that was frozen itself has heard nothing meanwhile, and does not take that for silence', () => {
  const sight = new LogSight();
  looks(sight, 0, 3, { isConnected: true });
  expect(looks(sight, 600_000, 6, { isConnected: true, seenAt: 2000 })).toEqual([]);
  expect(looks(sight, 606_000, 2, { isConnected: true, seenAt: 2000 })).toMatchObject([{ type: 'interrupted' }]);
});
