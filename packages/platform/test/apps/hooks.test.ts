import { systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import { describe, expect, it } from 'vitest';
import { HookRunner, hookProblem, type TermHookContext } from '../../src/apps/hooks.ts';

describe('hooks', () => {
  const clock = new VirtualClock();
  const make = (): HookRunner => new HookRunner('x', 'n1', systemEnv({ clock }));

  it('run one after another: the new one begins when the old one has ended', async () => {
    const hooks = make();
    const order: string[] = [];
    const slow = Promise.withResolvers<void>();
    void hooks.run(
      'onPassive',
      async () => {
        order.push('passive begins');
        await slow.promise;
        order.push('passive ends');
      },
      {},
    );
    const active = hooks.run<TermHookContext>('onActive', ({ epoch }) => void order.push(`active ${epoch}`), {
      epoch: 2,
    });
    await settle();
    expect(order).toEqual(['passive begins']);
    slow.resolve();
    await active;
    expect(order).toEqual(['passive begins', 'passive ends', 'active 2']);
  });

  it('or when the time of the old one is up; its signal has aborted then', async () => {
    const hooks = make();
    let signal: AbortSignal | undefined;
    const first = hooks.run(
      'onPassive',
      {
        timeout: '2s',
        run: (context) => {
          signal = context.signal;
          return new Promise<void>(() => {});
        },
      },
      {},
    );
    const failed = expect(first).rejects.toMatchObject({
      code: 'STEP_TIMEOUT',
      fields: { step: 'onPassive', timeoutMs: 2000 },
    });
    let ran = false;
    const second = hooks.run(
      'onActive',
      () => {
        ran = true;
      },
      { epoch: 1 },
    );
    await clock.advance(1999);
    expect([ran, signal?.aborted]).toEqual([false, false]);
    await clock.advance(1);
    await failed;
    await second;
    expect([ran, signal?.aborted]).toEqual([true, true]);
  });

  it('have 30 s by default', async () => {
    const running = make().run('onStart', () => new Promise<void>(() => {}), {});
    const failed = expect(running).rejects.toMatchObject({ code: 'STEP_TIMEOUT' });
    await clock.advance(29_999);
    await clock.advance(1);
    await failed;
  });

  it('fail with what was thrown, and don’t stop those after them', async () => {
    const hooks = make();
    const error = new Error('mine');
    await expect(
      hooks.run(
        'onActive',
        () => {
          throw error;
        },
        { epoch: 1 },
      ),
    ).rejects.toMatchObject({
      code: 'HOOK_FAILED',
      message: 'app "x": hook onActive failed: mine',
      cause: error,
    });
    await hooks.run('onPassive', () => {}, { epoch: 1 });
  });

  it('keep the signal of a term after they have ended', async () => {
    const ended = new AbortController();
    let signal: AbortSignal | undefined;
    await make().run(
      'onActive',
      (context) => {
        signal = context.signal;
      },
      { epoch: 1 },
      ended.signal,
    );
    expect(signal?.aborted).toBe(false);
    ended.abort();
    expect(signal?.aborted).toBe(true);
  });

  it('are checked', () => {
    expect(hookProblem(undefined)).toBeUndefined();
    expect(hookProblem(() => {})).toBeUndefined();
    expect(hookProblem({ run: () => {}, timeout: '5s' })).toBeUndefined();
    expect(hookProblem({ run: () => {}, timeout: 'soon' })).toMatch('timeout');
    expect(hookProblem('x')).toMatch('function');
    expect(hookProblem(null)).toMatch('function');
  });
});
