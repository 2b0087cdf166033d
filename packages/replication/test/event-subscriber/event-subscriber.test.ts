/** What a program written against the guide sees: plain sources, timers that somebody else moves. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventSubscriber, type EventSubscriberConfig, type SourceEvent } from '../../src/index.ts';
import { eventAt, PlainCheckpoints, PlainSource } from './plain-source.ts';

let source: PlainSource;
let checkpointStore: PlainCheckpoints;
let seen: number[];

beforeEach(() => {
  vi.useFakeTimers();
  source = new PlainSource();
  checkpointStore = new PlainCheckpoints();
  seen = [];
});
afterEach(() => {
  vi.useRealTimers();
});

function make(config: Partial<EventSubscriberConfig> = {}): EventSubscriber {
  const onEvent = (event: SourceEvent): void => void seen.push(event.offset);
  return new EventSubscriber(source, { namespace: 'test', checkpointStore, onEvent, ...config });
}

describe('configuration', () => {
  it('has the defaults of the guide, frozen', () => {
    const { config } = make();
    expect(config).toMatchObject({
      namespace: 'test',
      batchSize: 100,
      pollInterval: 1000,
      checkpointMode: 'auto',
      checkpointInterval: 5000,
      enableIdempotency: false,
      idempotencyWindowMs: 60_000,
      maxRetries: 3,
      retryDelay: 100,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('refuses what it does not know', () => {
    expect(() => make({ batchsize: 3 } as object)).toThrow(/batchsize is not an option; did you mean "batchSize"/);
    expect(() => new EventSubscriber(source, { namespace: 'x' })).toThrow(/checkpointStore is required/);
    for (const name of ['onEvent', 'onBatch', 'onError', 'deadLetter'])
      expect(() => make({ [name]: 5 } as object), name).toThrow(`${name} must be a function`);
    for (const wrong of [5, {}, { get: () => 1 }])
      expect(() => make({ checkpointStore: wrong as never })).toThrow('checkpointStore must have get() and set()');
    for (const wrong of [undefined, null, 5, {}])
      expect(() => new EventSubscriber(wrong as never, { namespace: 'x', checkpointStore })).toThrow(
        'connect, consume',
      );
  });

  it('refuses offsets and sizes that are none', async () => {
    const subscriber = make();
    for (const options of [{ fromOffset: -1 }, { fromOffset: Number.NaN }, { batchSize: 0 }, { batchSize: 'x' }])
      await expect(subscriber.subscribe('orders', options as object)).rejects.toMatchObject({
        code: 'OPTIONS_INVALID',
      });
    expect(subscriber.isSubscribed).toBe(false);
    await subscriber.subscribe('orders');
    for (const offset of [-1, 1.5, Number.NaN, 'x' as never]) {
      await expect(subscriber.checkpoint('orders', offset)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
      await expect(subscriber.replayFrom('orders', offset)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    }
    expect(await subscriber.getCheckpoint('orders')).toBeNull();
  });
});

describe('subscriptions', () => {
  it('subscribe, and its refusals', async () => {
    const subscriber = make();
    expect(subscriber.isSubscribed).toBe(false);
    await subscriber.subscribe('orders');
    expect([subscriber.isSubscribed, subscriber.isSubscribedTo('orders')]).toEqual([true, true]);
    expect(subscriber.subscribedTopics).toEqual(['orders']);
    await expect(subscriber.subscribe('orders')).rejects.toThrow('already subscribed');
    await expect(subscriber.subscribe('broken')).rejects.toThrow('Connection failed');
    expect(subscriber.subscribedTopics).toEqual(['orders']);
    await subscriber.close();
    expect(subscriber.closed).toBe(true);
    await expect(subscriber.subscribe('more')).rejects.toThrow('closed');
    await subscriber.poll();
    expect(source.consumed).toEqual([]);
  });

  it('the last unsubscribe disconnects, once', async () => {
    const subscriber = make();
    await subscriber.subscribe('a');
    await subscriber.subscribe('b');
    await subscriber.unsubscribe('a');
    expect([source.disconnected, source.callbacks.has('a')]).toEqual([0, false]);
    await subscriber.unsubscribe();
    await subscriber.close();
    expect([source.disconnected, subscriber.isSubscribed]).toEqual([1, false]);
  });

  it('starts at fromOffset, else the checkpoint, else where the source says', async () => {
    source.fill('a', 10);
    source.fill('b', 10);
    source.fill('c', 10);
    checkpointStore.stored.set('a', 4).set('b', 4);
    const subscriber = make();
    await subscriber.subscribe('a', { fromOffset: 7, batchSize: 5 });
    await subscriber.subscribe('b');
    await subscriber.subscribe('c');
    await subscriber.poll();
    expect(source.consumed).toEqual([
      { topic: 'a', from: 7, limit: 5 },
      { topic: 'b', from: 4, limit: 100 },
      { topic: 'c', from: 0, limit: 100 },
    ]);
  });
});

describe('reading', () => {
  it('auto: one checkpoint a batch, the next offset to read', async () => {
    source.fill('a', 10);
    const batches: number[] = [];
    const subscriber = make({ batchSize: 3, onBatch: (events) => void batches.push(events.length) });
    await subscriber.subscribe('a');
    await subscriber.poll();
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(batches).toEqual([3, 3, 3, 1]);
    expect(checkpointStore.writes).toEqual([3, 6, 9, 10].map((offset) => ['a', offset]));
    expect(subscriber.stats).toEqual({ eventsProcessed: 10, batchesProcessed: 4, lastProcessedOffset: 9 });
    await subscriber.poll();
    await subscriber.close();
    expect(checkpointStore.writes).toHaveLength(4);
  });

  it('manual: none but what is asked for, also at the end', async () => {
    source.fill('a', 5);
    const subscriber = make({ checkpointMode: 'manual' });
    await subscriber.subscribe('a');
    await subscriber.poll();
    expect(await subscriber.getCheckpoint('a')).toBeNull();
    await subscriber.checkpoint('a', 3);
    expect(await subscriber.getCheckpoint('a')).toBe(3);
    await subscriber.close();
    expect(checkpointStore.writes).toEqual([['a', 3]]);
  });

  it('interval: with the timer, and at the end', async () => {
    source.fill('a', 5);
    const subscriber = make({ checkpointMode: 'interval', checkpointInterval: 1000 });
    await subscriber.subscribe('a');
    await subscriber.poll();
    expect(checkpointStore.writes).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(checkpointStore.writes).toEqual([['a', 5]]);
    source.fill('a', 2);
    await subscriber.poll();
    await subscriber.close();
    expect(checkpointStore.writes).toEqual([
      ['a', 5],
      ['a', 7],
    ]);
  });

  it('a handler that throws is reported with its event and the rest goes on', async () => {
    source.fill('a', 5);
    const onEvent = vi.fn((event: SourceEvent) => {
      if (event.offset === 2) throw new Error('handler');
    });
    const onError = vi.fn();
    const subscriber = make({ onEvent, onError });
    await subscriber.subscribe('a');
    await subscriber.poll();
    expect(onEvent).toHaveBeenCalledTimes(5);
    expect(onError).toHaveBeenCalledTimes(1);
    expect(onError).toHaveBeenCalledWith(expect.objectContaining({ message: 'handler' }), source.events.get('a')?.[2]);
  });

  it('maxRetries is the number of attempts at reading, each is reported, the last rejects; no timer has to move', async () => {
    source.fill('a', 2);
    const onError = vi.fn();
    const subscriber = make({ onError, maxRetries: 3, retryDelay: 10 });
    await subscriber.subscribe('a');
    source.failures = 2;
    await subscriber.poll();
    expect([seen, onError.mock.calls.length]).toEqual([[0, 1], 2]);
    source.failures = 3;
    await expect(subscriber.poll()).rejects.toThrow('Consume failed');
    expect(onError).toHaveBeenCalledTimes(5);
  });
});

describe('idempotency', () => {
  it('skips keys that were handled, also across a replay; the window and the explicit cleanup forget them', async () => {
    source.fill('a', 4, (index) => (index === 3 ? 'key-0' : `key-${index}`));
    const subscriber = make({ enableIdempotency: true, idempotencyWindowMs: 1000 });
    await subscriber.subscribe('a');
    await subscriber.poll();
    expect(seen).toEqual([0, 1, 2]);
    expect(subscriber.idempotencyStats).toMatchObject({ trackedKeys: 3, duplicatesSkipped: 1 });
    expect(subscriber.seenIdempotencyKeys.get('key-0')).toBe(Date.now());
    await subscriber.replayFrom('a', 0);
    await subscriber.poll();
    expect([seen.length, subscriber.idempotencyStats.duplicatesSkipped]).toEqual([3, 5]);
    vi.advanceTimersByTime(1001);
    expect(subscriber.seenIdempotencyKeys.size).toBe(3);
    subscriber.cleanupIdempotencyKeys();
    expect(subscriber.seenIdempotencyKeys.size).toBe(0);
    await subscriber.replayFrom('a', 0);
    expect(seen).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('without it everything is handled again in a replay', async () => {
    source.fill('a', 3, () => 'same');
    const subscriber = make();
    await subscriber.subscribe('a');
    await subscriber.poll();
    await subscriber.replayFrom('a', 1);
    await subscriber.poll();
    expect(seen).toEqual([0, 1, 2, 1, 2]);
    await expect(subscriber.replayFrom('b', 1)).rejects.toThrow('not subscribed to b');
  });
});

describe('pushes', () => {
  it('handles all that come in one go at once, however long a checkpoint takes', async () => {
    const stored = Promise.withResolvers<void>();
    const set = checkpointStore.set.bind(checkpointStore);
    checkpointStore.set = (key, offset) => stored.promise.then(() => set(key, offset));
    const subscriber = make();
    await subscriber.subscribe('orders');
    for (let offset = 0; offset < 10; offset++) source.callbacks.get('orders')?.(eventAt('orders', offset));
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    stored.resolve();
    await subscriber.close();
    expect(checkpointStore.stored.get('orders')).toBe(10);
  });

  it('lets none overtake one whose callback waits', async () => {
    const gate = Promise.withResolvers<void>();
    const subscriber = make({
      onEvent: async ({ offset }) => {
        if (offset === 1) await gate.promise;
        seen.push(offset);
      },
    });
    await subscriber.subscribe('orders');
    for (let offset = 0; offset < 4; offset++) source.callbacks.get('orders')?.(eventAt('orders', offset));
    await vi.advanceTimersByTimeAsync(10);
    expect(seen).toEqual([0]);
    gate.resolve();
    await vi.advanceTimersByTimeAsync(10);
    expect(seen).toEqual([0, 1, 2, 3]);
    await subscriber.close();
  });

  it('arrive before any poll, at once, and move the position past them', async () => {
    const subscriber = make();
    await subscriber.subscribe('a');
    source.callbacks.get('a')?.(eventAt('a', 0));
    expect(seen).toEqual([0]);
    expect(checkpointStore.writes).toEqual([['a', 1]]);
    await vi.advanceTimersByTimeAsync(0);
    source.callbacks.get('a')?.(eventAt('a', 41));
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).toEqual([0, 41]);
    expect(checkpointStore.stored.get('a')).toBe(42);
    expect(subscriber.stats).toMatchObject({ eventsProcessed: 2, lastProcessedOffset: 41 });
    await subscriber.poll();
    expect(source.consumed.at(-1)?.from).toBe(42);
  });
});

it('outlives an error handler that rejects', async () => {
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);
  process.on('unhandledRejection', note);
  try {
    source.fill('orders', 1);
    const failing = { onEvent: () => Promise.reject(new Error('a')), onError: () => Promise.reject(new Error('b')) };
    const subscriber = make(failing);
    await subscriber.subscribe('orders');
    await subscriber.poll();
    await subscriber.close();
    vi.useRealTimers();
    await new Promise((resolve) => setImmediate(resolve));
    expect(rejections).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});
