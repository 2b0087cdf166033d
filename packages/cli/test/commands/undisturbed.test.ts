import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { undisturbed } from '../../src/commands/undisturbed.ts';
import { EXIT, exitCodeOf } from '../../src/exit-codes.ts';

const interruption = (signal = new AbortController().signal) => ({ signal, [Symbol.dispose]: () => {} });
const forever = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

test('a signal is told as an interruption, any other failure as itself', async () => {
  const controller = new AbortController();
  const options = { what: 'it', bound: { timeoutMs: 1 }, interruption: interruption(controller.signal) };
  await expect(undisturbed(options, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  controller.abort(new DOMException('SIGINT', 'AbortError'));
  const work = () => Promise.reject(controller.signal.reason);
  const error = await undisturbed(options, work).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'INTERRUPTED', message: 'interrupted; nothing was changed' });
  expect(exitCodeOf(error)).toBe(EXIT.interrupted);
});

test('the bound holds only when it was given, and says how long it was', async () => {
  const clock = new VirtualClock();
  const given = { what: 'the restore', interruption: interruption(), clock };
  const bounded = undisturbed({ ...given, bound: { timeoutMs: 3000, isTimeoutGiven: true } }, forever);
  const told = bounded.catch((reason: unknown) => reason);
  let ended = false;
  void undisturbed({ ...given, bound: { timeoutMs: 3000 } }, forever).finally(() => {
    ended = true;
  });
  await clock.advance(4000);
  const error = await told;
  expect(error).toMatchObject({ code: 'TIME_RAN_OUT', message: expect.stringContaining('within 3s') });
  expect(exitCodeOf(error)).toBe(EXIT.timeout);
  expect(ended).toBe(false);
});
