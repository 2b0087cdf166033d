import { settle, VirtualClock } from '@canopy/core/testing';
import { describe, expect, it } from 'vitest';
import { eventually } from '../src/index.ts';

describe('eventually', () => {
  it('gives the first truthy value, and counts an error as not yet', async () => {
    let looks = 0;
    const value = await eventually(() => {
      looks += 1;
      if (looks === 1) throw new Error('not yet');
      return looks === 3 ? 'done' : undefined;
    });
    expect(value).toBe('done');
    expect(looks).toBe(3);
  });

  it('fails with what was waited for and what was seen last', async () => {
    await expect(eventually(() => 0, { timeoutMs: 30, what: 'a positive count' })).rejects.toThrow(
      'a positive count did not come true within 30 ms; last, it gave 0',
    );
    const failing = eventually(() => Promise.reject(new Error('broken')), { timeoutMs: 0 });
    await expect(failing).rejects.toThrow(/the condition .*; last, it threw: broken/);
  });

  it('looks a last time when time is up, and stops looking on a signal', async () => {
    const clock = new VirtualClock();
    let looks = 0;
    const abort = new AbortController();
    const waiting = eventually(
      () => {
        looks += 1;
        return false;
      },
      { clock, everyMs: 10, timeoutMs: 1_000, signal: abort.signal },
    ).catch((error) => error);
    await clock.advance(25);
    expect(looks).toBe(3);
    abort.abort(new Error('enough'));
    await settle();
    expect((await waiting).message).toBe('enough');
    expect(looks).toBe(3);
  });
});
