import { describe, expect, it } from 'vitest';
import { abortable, backoffMs, seededRandom, systemClock, withDeadline } from '../../src/index.ts';
import { settle, VirtualClock } from '../../src/testing/index.ts';

describe('VirtualClock', () => {
  it('fires timers in the order of their time, settling promises between them', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.timer(20, () => seen.push('b'));
    clock.timer(10, () => {
      seen.push('a');
      void clock.sleep(5).then(() => seen.push('a2'));
    });
    clock.timer(30, () => seen.push('never')).cancel();
    await clock.advance(25);
    expect(seen).toEqual(['a', 'a2', 'b']);
    await clock.advance(100);
    expect(seen).toHaveLength(3);
  });
  it('steps the wall clock without touching monotonic time', () => {
    const clock = new VirtualClock({ monotonic: 5, wall: 1000 });
    clock.stepWall(-500);
    expect([clock.monotonic(), clock.wall()]).toEqual([5, 500]);
  });
});

describe('deadlines', () => {
  it('reject with the operation and the bound', async () => {
    const clock = new VirtualClock();
    const waiting = withDeadline(clock, 'reading x', 50, new Promise(() => {}));
    const failed = expect(waiting).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      fields: { operation: 'reading x', timeoutMs: 50 },
    });
    await clock.advance(50);
    await failed;
  });
  it('leave no timer behind when the work ends first', async () => {
    const clock = new VirtualClock();
    expect(await withDeadline(clock, 'x', 50, Promise.resolve(7))).toBe(7);
    await clock.advance(100);
  });
  it('abortable ends at the signal with its reason', async () => {
    const controller = new AbortController();
    const waiting = abortable(new Promise(() => {}), controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(abortable(Promise.resolve(1), controller.signal)).rejects.toThrow('enough');
  });
  it('sleep rejects at the signal and cancels its timer', async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const sleeping = clock.sleep(10, { signal: controller.signal });
    controller.abort(new Error('up'));
    await expect(sleeping).rejects.toThrow('up');
    await settle();
  });
});

describe('backoff', () => {
  it('doubles to its limit, and jitter only ever shortens it', () => {
    const random = seededRandom('backoff');
    for (let attempt = 0; attempt < 60; attempt++) {
      const full = Math.min(5000, 50 * 2 ** attempt);
      const delay = backoffMs(attempt, { initialMs: 50, maxMs: 5000 }, random);
      expect(delay).toBeLessThanOrEqual(full);
      expect(delay).toBeGreaterThanOrEqual(full / 2);
    }
  });
});

describe('the system clock', () => {
  it('never goes back and shares its origin with other processes', async () => {
    const { execFileSync } = await import('node:child_process');
    const before = systemClock.monotonic();
    const other = Number(
      execFileSync(process.execPath, ['-p', 'Number(process.hrtime.bigint())/1e6'], { encoding: 'utf8' }),
    );
    const after = systemClock.monotonic();
    expect(other).toBeGreaterThan(before);
    expect(other).toBeLessThan(after);
  });
  it('fires timers no earlier than asked', async () => {
    const before = systemClock.monotonic();
    await systemClock.sleep(20);
    expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(19);
  });
});

describe('seeded chance', () => {
  it('repeats from its seed and differs between seeds', () => {
    const draw = (seed: string): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 20 }, () => random.int(1000));
    };
    expect(draw('a')).toEqual(draw('a'));
    expect(draw('a')).not.toEqual(draw('b'));
    expect(seededRandom('u').uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
