import { expect, test } from 'vitest';
import { OneByOne } from '../../src/streams/one-by-one.ts';

async function* batches(closed: string[] = []): AsyncGenerator<readonly number[], void, undefined> {
  try {
    yield [1, 2];
    yield [];
    await Promise.resolve();
    yield [3];
    yield [4, 5];
  } finally {
    closed.push('closed');
  }
}

const never = new AbortController().signal;

test('items come in order, to those who wait and to those who do not', async () => {
  expect(await Array.fromAsync(new OneByOne(batches(), never))).toEqual([1, 2, 3, 4, 5]);
  const hasty = new OneByOne(batches(), never);
  const results = await Promise.all(Array.from({ length: 7 }, () => hasty.next()));
  expect(results.map(({ value }) => value)).toEqual([1, 2, 3, 4, 5, undefined, undefined]);
});

test('leaving closes the source; an abort drops what is left of a batch', async () => {
  const closed: string[] = [];
  for await (const item of new OneByOne(batches(closed), never)) if (item === 1) break;
  expect(closed).toEqual(['closed']);
  const end = new AbortController();
  const seen: number[] = [];
  for await (const item of new OneByOne(batches(), end.signal)) {
    seen.push(item);
    if (item === 4) end.abort();
  }
  expect(seen).toEqual([1, 2, 3, 4]);
});

test('a source that fails fails its reader', async () => {
  const failing = (async function* (): AsyncGenerator<readonly number[], void, undefined> {
    yield [1];
    throw new Error('planned');
  })();
  const reader = new OneByOne(failing, never);
  expect((await reader.next()).value).toBe(1);
  await expect(reader.next()).rejects.toThrow('planned');
  expect((await reader.next()).done).toBe(true);
});
