/** What the plain contract leaves open and is dangerous: each of these loses or repeats events where it is done carelessly. */

import { systemEnv } from '@canopy/core';
import { memoryMetrics, seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import { expect, it } from 'vitest';
import {
  type DeadLetter,
  deadLettersTo,
  EventSubscriber,
  type EventSubscriberConfig,
  MemoryLog,
  MemoryPipelineSource,
  type SourceEvent,
} from '../../src/index.ts';
import { eventAt, PlainCheckpoints, PlainSource } from './plain-source.ts';

function setUp(config: Partial<EventSubscriberConfig> = {}) {
  const clock = new VirtualClock();
  const { metrics, value } = memoryMetrics();
  const env = systemEnv({ clock, random: seededRandom('safety'), metrics });
  const source = new PlainSource();
  const checkpointStore = new PlainCheckpoints();
  const seen: number[] = [];
  const onEvent = (event: SourceEvent): void => void seen.push(event.offset);
  const make = (more: Partial<EventSubscriberConfig> = {}): EventSubscriber =>
    new EventSubscriber(source, { namespace: 'test', checkpointStore, onEvent, ...config, ...more }, env);
  return { clock, env, source, checkpointStore, seen, make, value };
}

it('waits for a handler: the checkpoint follows the work, and nothing overlaps', async () => {
  const { source, checkpointStore, make } = setUp();
  const gates: (() => void)[] = [];
  let running = 0;
  const onEvent = async (): Promise<void> => {
    running += 1;
    expect(running).toBe(1);
    await new Promise<void>((resolve) => gates.push(resolve));
    running -= 1;
  };
  source.fill('a', 2);
  const subscriber = make({ onEvent });
  await subscriber.subscribe('a');
  const polls = [subscriber.poll(), subscriber.poll(), subscriber.poll()];
  await settle();
  source.callbacks.get('a')?.(eventAt('a', 2));
  expect([gates.length, checkpointStore.writes]).toEqual([1, []]);
  for (let opened = 0; opened < 3; opened++) {
    gates[opened]?.();
    await settle();
  }
  await Promise.all(polls);
  await settle();
  expect(gates).toHaveLength(3);
  expect(checkpointStore.writes.map(([, offset]) => offset)).toEqual([2, 3]);
});

it('a failed event holds the checkpoint, is tried again after its delay, and is read again after a restart', async () => {
  const { clock, source, checkpointStore, seen, make } = setUp();
  let broken = true;
  const onEvent = (event: SourceEvent): void => {
    if (event.offset === 1 && broken) throw new Error('not yet');
    seen.push(event.offset);
  };
  source.fill('a', 4);
  const first = make({ onEvent, enableIdempotency: true });
  await first.subscribe('a');
  await first.poll();
  expect([seen, checkpointStore.stored.get('a')]).toEqual([[0, 2, 3], 1]);
  await first.poll();
  expect((await first.progress())[0]).toMatchObject({ unsettled: 1, caughtUp: false });
  await first.close();
  expect(checkpointStore.stored.get('a')).toBe(1);
  const second = make({ onEvent });
  await second.subscribe('a');
  await second.poll();
  broken = false;
  await clock.advance(150);
  await second.poll();
  expect([seen, checkpointStore.stored.get('a')]).toEqual([[0, 2, 3, 2, 3, 1], 4]);
});

it('strictly in order with maxAhead 0; a bound on what is handled past a failure', async () => {
  const { clock, source, seen, make } = setUp();
  const codes: string[] = [];
  const onError = (error: Error): void => void codes.push((error as { code?: string }).code ?? error.message);
  let broken = true;
  const onEvent = (event: SourceEvent): void => {
    if (event.offset === 1 && broken) throw new Error('no');
    seen.push(event.offset);
  };
  source.fill('strict', 5);
  source.fill('bounded', 9);
  const strict = make({ onEvent, maxAhead: 0 });
  await strict.subscribe('strict');
  await strict.poll();
  await strict.poll();
  expect(seen).toEqual([0]);
  broken = false;
  await clock.advance(150);
  await strict.poll();
  expect(seen).toEqual([0, 1, 2, 3, 4]);
  [seen.length, broken] = [0, true];
  const bounded = make({ onEvent, onError, maxAhead: 3, batchSize: 2 });
  await bounded.subscribe('bounded');
  await bounded.poll();
  expect(seen).toEqual([0, 2, 3, 4]);
  expect(codes).toEqual(['no', 'SUBSCRIBER_STALLED']);
  broken = false;
  await clock.advance(150);
  await bounded.poll();
  expect(seen).toEqual([0, 2, 3, 4, 1, 5, 6, 7, 8]);
});

it('an event that keeps failing becomes a dead letter with its error and attempts; then the checkpoint moves on', async () => {
  const { clock, source, checkpointStore, make, value } = setUp();
  const letters: DeadLetter[] = [];
  let refuse = true;
  const deadLetter = (letter: DeadLetter): void => {
    if (refuse) throw new Error('no room');
    letters.push(letter);
  };
  source.fill('a', 3);
  const onEvent = (event: SourceEvent): void => {
    if (event.offset === 1) throw new Error('poison');
  };
  const subscriber = make({ onEvent, deadLetter, maxRetries: 2 });
  await subscriber.subscribe('a');
  for (let i = 0; i < 2; i++) {
    await subscriber.poll();
    await clock.advance(500);
  }
  expect([letters, checkpointStore.stored.get('a')]).toEqual([[], 1]);
  refuse = false;
  await subscriber.poll();
  expect(checkpointStore.stored.get('a')).toBe(3);
  expect(letters).toMatchObject([{ topic: 'a', event: { offset: 1 }, attempts: 3, error: { message: 'poison' } }]);
  expect(value('replication_subscriber_events_total', { namespace: 'test', topic: 'a', outcome: 'dead_letter' })).toBe(
    1,
  );
});

it('dead letters can go to a log, each once', async () => {
  const { env, source, make } = setUp({ maxRetries: 1 });
  const log = new MemoryLog('dead', { clock: env.clock });
  const handler = deadLettersTo(log.connect('n1'));
  source.fill('a', 1);
  const onEvent = (): void => {
    throw new Error('poison');
  };
  for (const subscriber of [make({ onEvent, deadLetter: handler }), make({ onEvent, deadLetter: handler })]) {
    await subscriber.subscribe('a', { fromOffset: 0 });
    await subscriber.poll();
  }
  expect(log.events).toMatchObject([
    { topic: 'dead-letters', event: { topic: 'a', event: { offset: 0 }, error: { message: 'poison' }, attempts: 1 } },
  ]);
});

it('failedEvents skip is the old behaviour: reported, and past', async () => {
  const { source, checkpointStore, make } = setUp({ failedEvents: 'skip' });
  source.fill('a', 3);
  const onEvent = (event: SourceEvent): void => {
    if (event.offset === 1) throw new Error('lost');
  };
  const subscriber = make({ onEvent });
  await subscriber.subscribe('a');
  await subscriber.poll();
  expect(checkpointStore.stored.get('a')).toBe(3);
});

it('a batch that fails is handed over again, whole', async () => {
  const { clock, source, checkpointStore, make } = setUp();
  const batches: number[][] = [];
  const onBatch = (events: readonly SourceEvent[]): void => {
    batches.push(events.map(({ offset }) => offset));
    if (batches.length === 1) throw new Error('batch');
  };
  source.fill('a', 3);
  const subscriber = make({ onBatch });
  await subscriber.subscribe('a');
  await subscriber.poll();
  expect(checkpointStore.stored.get('a')).toBe(0);
  await clock.advance(150);
  await subscriber.poll();
  expect([batches, checkpointStore.stored.get('a')]).toEqual([
    [
      [0, 1, 2],
      [0, 1, 2],
    ],
    3,
  ]);
});

it('a push that skips events has them read first; one that is late is nothing', async () => {
  const { source, seen, make } = setUp();
  const subscriber = make();
  await subscriber.subscribe('a');
  source.fill('a', 5);
  source.callbacks.get('a')?.(eventAt('a', 3));
  await settle();
  source.callbacks.get('a')?.(eventAt('a', 1));
  await settle();
  expect(seen).toEqual([0, 1, 2, 3, 4]);
});

it('pause holds events back within a bound, resume loses none', async () => {
  const source = new MemoryPipelineSource();
  const { env, checkpointStore, seen, value } = setUp();
  const onEvent = (event: SourceEvent): void => void seen.push(event.offset);
  const subscriber = new EventSubscriber(
    source,
    { namespace: 'test', checkpointStore, onEvent, pushBufferSize: 2 },
    env,
  );
  await subscriber.subscribe('a');
  await subscriber.pause('a');
  for (let i = 0; i < 6; i++) source.append('a', { verb: 'created', payload: i });
  await subscriber.poll();
  expect([seen, subscriber.isPaused('a')]).toEqual([[], true]);
  expect(value('replication_subscriber_pushes_dropped_total', { namespace: 'test', topic: 'a' })).toBe(4);
  subscriber.resume();
  await settle();
  expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
});

it('start polls every pollInterval, backs off while reading fails, and ends with close', async () => {
  const { clock, source, seen, make } = setUp();
  const subscriber = make({ pollInterval: 1000, retryDelay: 100 });
  subscriber.start();
  await subscriber.subscribe('a');
  await settle();
  source.fill('a', 2);
  await clock.advance(999);
  expect(seen).toEqual([]);
  await clock.advance(1);
  expect(seen).toEqual([0, 1]);
  source.failures = 2;
  source.fill('a', 1);
  await clock.advance(1000);
  expect(seen).toEqual([0, 1]);
  await clock.advance(400);
  expect(seen).toEqual([0, 1, 2]);
  await subscriber.close();
  const reads = source.consumed.length;
  await clock.advance(60_000);
  expect(source.consumed.length).toBe(reads);
});

it('keys are bounded by count, and an old one is no duplicate even before the cleanup', async () => {
  const { clock, source, seen, make } = setUp();
  source.fill('a', 5, (index) => `k${index}`);
  const subscriber = make({ enableIdempotency: true, maxIdempotencyKeys: 3, idempotencyWindowMs: 1000 });
  await subscriber.subscribe('a');
  await subscriber.poll();
  expect([...subscriber.seenIdempotencyKeys.keys()]).toEqual(['k2', 'k3', 'k4']);
  expect(subscriber.idempotencyStats).toEqual({ trackedKeys: 3, duplicatesSkipped: 0, evictedKeys: 2 });
  await clock.advance(1001);
  await subscriber.replayFrom('a', 4);
  expect(seen.at(-1)).toBe(4);
});

it('a failed event does not count as seen', async () => {
  const { source, seen, make } = setUp();
  source.fill('a', 1, () => 'k');
  let broken = true;
  const onEvent = (event: SourceEvent): void => {
    if (broken) throw new Error('no');
    seen.push(event.offset);
  };
  const subscriber = make({ onEvent, enableIdempotency: true });
  await subscriber.subscribe('a');
  await subscriber.poll();
  broken = false;
  await subscriber.replayFrom('a', 0);
  expect(seen).toEqual([0]);
});

it('progress: percent, rate, time left', async () => {
  const { clock, source, make } = setUp({ batchSize: 10 });
  source.fill('a', 100);
  const subscriber = make({ onEvent: () => clock.sleep(10) });
  await subscriber.subscribe('a');
  const polled = subscriber.poll();
  await clock.advance(500);
  const [now] = await subscriber.progress();
  expect(now).toMatchObject({ topic: 'a', latest: 99, caughtUp: false, unsettled: 0 });
  expect(now?.percent).toBe(100 - (now?.lag ?? 0));
  expect(now?.ratePerSecond).toBeGreaterThan(90);
  expect(now?.timeLeftMs).toBeGreaterThan(400);
  await clock.advance(600);
  await polled;
  expect((await subscriber.progress())[0]).toMatchObject({ lag: 0, percent: 100, timeLeftMs: 0, caughtUp: true });
});

it('close waits for a handler up to its timeout, and stores nothing past it', async () => {
  const { clock, source, checkpointStore, make } = setUp({ closeTimeout: 2000 });
  source.fill('a', 2);
  const onEvent = (event: SourceEvent): Promise<void> | undefined =>
    event.offset === 1 ? new Promise<void>(() => {}) : undefined;
  const subscriber = make({ onEvent, checkpointMode: 'interval' });
  await subscriber.subscribe('a');
  void subscriber.poll();
  await settle();
  const closed = subscriber.close();
  await clock.advance(2000);
  await closed;
  expect(checkpointStore.writes).toEqual([]);
});

it('a checkpoint store that fails is reported and written again with the next position', async () => {
  const { source, checkpointStore, make } = setUp();
  const errors: string[] = [];
  const subscriber = make({ onError: (error) => void errors.push(error.message) });
  await subscriber.subscribe('a');
  const set = checkpointStore.set.bind(checkpointStore);
  checkpointStore.set = async () => {
    throw new Error('disk');
  };
  source.fill('a', 2);
  await subscriber.poll();
  checkpointStore.set = set;
  source.fill('a', 1);
  await subscriber.poll();
  expect([errors, checkpointStore.writes]).toEqual([
    ['disk'],
    [
      ['a', 2],
      ['a', 3],
    ],
  ]);
});

it('a checkpoint store that is slow never gets an older position after a newer one', async () => {
  const { clock, source, checkpointStore, make } = setUp({ checkpointMode: 'interval', checkpointInterval: 100 });
  const subscriber = make();
  await subscriber.subscribe('a');
  let writing = 0;
  const set = checkpointStore.set.bind(checkpointStore);
  checkpointStore.set = async (key, offset) => {
    writing += 1;
    expect(writing).toBe(1);
    await clock.sleep(350);
    writing -= 1;
    await set(key, offset);
  };
  for (let round = 0; round < 10; round++) {
    source.fill('a', 1);
    await subscriber.poll();
    await clock.advance(100);
  }
  const closed = subscriber.close();
  await clock.advance(1000);
  await closed;
  const offsets = checkpointStore.writes.map(([, offset]) => offset);
  expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b));
  expect(offsets.at(-1)).toBe(10);
});
