import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { Broadcast } from '../../src/index.ts';

it('a reader that goes leaves nothing on its signal', async () => {
  const broadcast = new Broadcast<number>();
  const { signal } = new AbortController();
  for (let i = 0; i < 3; i++) for await (const _ of broadcast.watch({ signal, first: [i] })) break;
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
});

it('an abort ends the reader, and so does a close', async () => {
  const broadcast = new Broadcast<number>();
  const stop = new AbortController();
  const [aborted, closed] = [broadcast.watch({ signal: stop.signal }), broadcast.watch()];
  stop.abort();
  expect(await aborted.next()).toEqual({ value: undefined, done: true });
  broadcast.send(1);
  broadcast.close();
  expect([(await closed.next()).value, (await closed.next()).done]).toEqual([1, true]);
});
