import { expect, test } from 'vitest';
import { LatestQueue } from '../../src/watch/latest-queue.ts';

async function drain(queue: LatestQueue<string>): Promise<string[]> {
  queue.end();
  const out: string[] = [];
  for await (const event of queue) out.push(event);
  return out;
}

test('a reader that keeps up sees every change', async () => {
  const queue = new LatestQueue<string>();
  for (const event of ['a1', 'a2', 'a3']) {
    const next = queue.next();
    queue.push('a', event, true);
    expect(await next).toEqual({ value: event, done: false });
  }
});

test('one that lags sees the latest per key, in the order of the latest', async () => {
  const queue = new LatestQueue<string>();
  queue.push('a', 'a1', true);
  queue.push('b', 'b1', true);
  queue.push('a', 'a2', true);
  expect(await drain(queue)).toEqual(['b1', 'a2']);
});

test('nothing moves across a synced that it was pushed before', async () => {
  const queue = new LatestQueue<string>();
  queue.push('a', 'a1', true);
  queue.synced('synced');
  queue.push('a', 'a2', true);
  expect(await drain(queue)).toEqual(['a2', 'synced']);
});

test('what came and went before the first synced was read is not mentioned', async () => {
  const queue = new LatestQueue<string>();
  queue.push('a', 'a1', true);
  queue.push('b', 'b1', true);
  queue.synced('synced');
  queue.push('a', 'a deleted', false);
  expect(await drain(queue)).toEqual(['b1', 'synced']);
});

test('after the first synced a deletion is told even if the value was not read', async () => {
  const queue = new LatestQueue<string>();
  queue.synced('synced');
  expect((await queue.next()).value).toBe('synced');
  queue.push('a', 'a1', true);
  queue.push('a', 'a deleted', false);
  expect(await drain(queue)).toEqual(['a deleted']);
});

test('interruptions that were not read become one, ended by the last synced', async () => {
  const queue = new LatestQueue<string>();
  queue.synced('synced 1');
  await queue.next();
  queue.interrupted('interrupted 1');
  queue.push('a', 'a1', true);
  queue.synced('synced 2');
  queue.interrupted('interrupted 2');
  queue.push('b', 'b1', true);
  queue.synced('synced 3');
  expect(await drain(queue)).toEqual(['a1', 'interrupted 2', 'b1', 'synced 3']);
});

test('leaving ends a pending next and calls onEnd once', async () => {
  let ended = 0;
  const queue = new LatestQueue<string>(() => {
    ended += 1;
  });
  const pending = queue.next();
  await queue.return();
  expect(await pending).toEqual({ value: undefined, done: true });
  queue.push('a', 'a1', true);
  queue.end();
  expect(await queue.next()).toEqual({ value: undefined, done: true });
  expect(ended).toBe(1);
});
