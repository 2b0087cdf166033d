import { expect, test } from 'vitest';
import { undisturbed } from '../../src/commands/log.ts';
import { EXIT, exitCodeOf } from '../../src/exit-codes.ts';

test('a signal is told as an interruption, any other failure as itself', async () => {
  const controller = new AbortController();
  const work = () => Promise.reject(controller.signal.reason ?? new Error('broken'));
  await expect(undisturbed(controller.signal, work)).rejects.toThrow('broken');
  controller.abort(new DOMException('SIGINT', 'AbortError'));
  const error = await undisturbed(controller.signal, work).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'INTERRUPTED', message: 'interrupted; nothing was changed' });
  expect(exitCodeOf(error)).toBe(EXIT.interrupted);
});
