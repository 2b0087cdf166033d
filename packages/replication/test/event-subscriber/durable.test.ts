/** A subscriber whose position the server keeps, against the twin of a durable consumer. */
import { systemEnv } from '@canopy/core';
import { memoryMetrics, seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import { expect, it } from 'vitest';
import {
  type DeadLetter,
  type DurableDelivery,
  DurableSubscriber,
  type DurableSubscriberConfig,
  decodeDelivery,
  type EffectTransaction,
  MemoryDurableSource,
  type SourceEvent,
} from '../../src/index.ts';
import { SmallStore } from './small-store.ts';

function setUp() {
  const clock = new VirtualClock();
  const { metrics, value } = memoryMetrics();
  const env = systemEnv({ clock, random: seededRandom('durable'), metrics });
  const source = new MemoryDurableSource('orders', { clock, ackWaitMs: 30_000 });
  const seen: unknown[] = [];
  const onEvent = (event: SourceEvent): void => void seen.push(event.payload);
  const make = (config: Partial<DurableSubscriberConfig> = {}): DurableSubscriber =>
    new DurableSubscriber(source, { namespace: 't', onEvent, ...config }, env);
  return { clock, env, source, seen, make, value };
}

it('handles in order, acknowledges after success, goes on in the next life', async () => {
  const { clock, source, seen, make } = setUp();
  for (let i = 1; i <= 3; i++) source.append(i);
  const first = make();
  await first.start();
  await clock.advance(10);
  expect(seen).toEqual([1, 2, 3]);
  expect(await first.progress()).toMatchObject({ pending: 0, ackPending: 0, caughtUp: true, timeLeftMs: 0 });
  await first.stop();
  source.append({ verb: 'created', payload: 4 });
  const second = make();
  await second.start();
  await clock.advance(10);
  expect(seen).toEqual([1, 2, 3, 4]);
  expect(second.stats).toEqual({ eventsProcessed: 1, batchesProcessed: 0, lastProcessedOffset: 4 });
  await second.stop();
});

it('a failure comes again after its delay; the last becomes a dead letter, then the delivery is given up', async () => {
  const { clock, source, seen, make, value } = setUp();
  const letters: DeadLetter[] = [];
  const onEvent = (event: SourceEvent): void => {
    if (event.payload === 'poison') throw new Error('no');
    seen.push(event.payload);
  };
  source.append('poison');
  source.append('good');
  const subscriber = make({ onEvent, deadLetter: (letter) => void letters.push(letter), retryDelay: 1000 });
  await subscriber.start();
  await clock.advance(500);
  expect([seen, letters, source.terminated]).toEqual([['good'], [], []]);
  await clock.advance(5000);
  expect(letters).toMatchObject([
    { topic: 'orders', attempts: 3, event: { payload: 'poison' }, error: { message: 'no' } },
  ]);
  expect(source.terminated).toEqual([1]);
  expect(value('replication_subscriber_events_total', { namespace: 't', topic: 'orders', outcome: 'failed' })).toBe(3);
  await subscriber.stop();
});

it('without a dead letter it is tried for as long as it fails', async () => {
  const { clock, source, make } = setUp();
  let attempts = 0;
  source.append('later');
  const onEvent = (): void => {
    attempts += 1;
    if (attempts < 8) throw new Error('not yet');
  };
  const subscriber = make({ onEvent });
  await subscriber.start();
  await clock.advance(60_000);
  expect([attempts, source.terminated]).toEqual([8, []]);
  expect((await subscriber.progress()).caughtUp).toBe(true);
  await subscriber.stop();
});

it('a slow handler keeps its deliveries, those that wait behind it too', async () => {
  const { clock, source, seen, make } = setUp();
  source.append('slow');
  source.append('behind');
  const onEvent = async (event: SourceEvent): Promise<void> => {
    seen.push(event.payload);
    if (event.payload === 'slow') await clock.sleep(100_000);
  };
  const subscriber = make({ onEvent });
  await subscriber.start();
  await clock.advance(50_000);
  expect(await source.fetch({ max: 10, waitMs: 0 })).toEqual([]);
  await clock.advance(50_100);
  expect(seen).toEqual(['slow', 'behind']);
  await subscriber.stop();
});

it('pause hands back what was fetched, resume has it again', async () => {
  const { clock, source, seen, make } = setUp();
  for (let i = 1; i <= 3; i++) source.append(i);
  const subscriber = make({
    onEvent: (event) => {
      seen.push(event.payload);
      if (event.payload === 1) void subscriber.pause();
    },
  });
  await subscriber.start();
  await clock.advance(1000);
  expect([seen, subscriber.paused]).toEqual([[1], true]);
  subscriber.resume();
  await clock.advance(10);
  expect(seen).toEqual([1, 2, 3]);
  await subscriber.stop();
});

it('what can not be decoded is a dead letter, and the rest goes on', async () => {
  const { clock, source, seen, make } = setUp();
  const letters: DeadLetter[] = [];
  source.append('bad');
  source.append('good');
  const decode = (delivery: DurableDelivery): SourceEvent => {
    if (delivery.sequence === 1) throw new Error('bytes');
    return decodeDelivery(delivery);
  };
  const subscriber = make({ decode, maxRetries: 1, deadLetter: (letter) => void letters.push(letter) });
  await subscriber.start();
  await clock.advance(10);
  expect(seen).toEqual(['good']);
  expect(letters).toMatchObject([{ event: { verb: 'undecodable', payload: { base64: 'ImJhZCI=' } } }]);
  await subscriber.stop();
});

it('a lost acknowledgement or fetch repeats nothing that is remembered', async () => {
  const { clock, source, seen, make } = setUp();
  let failing = true;
  source.fault = (call) => {
    if (failing && call === 'fetch') throw new Error('gone');
  };
  source.append('a', 'id-1');
  source.append('a again', 'id-1');
  const subscriber = make({ enableIdempotency: true });
  await subscriber.start();
  await clock.advance(1000);
  expect(seen).toEqual([]);
  failing = false;
  await clock.advance(10_000);
  expect([seen, subscriber.idempotencyStats]).toEqual([['a'], { trackedKeys: 1, duplicatesSkipped: 1 }]);
  await subscriber.stop();
});

it('batches are acknowledged whole', async () => {
  const { clock, source, make } = setUp();
  const batches: unknown[][] = [];
  for (let i = 1; i <= 3; i++) source.append(i);
  const onBatch = (events: readonly SourceEvent[]): void => {
    batches.push(events.map(({ payload }) => payload));
    if (batches.length === 1) throw new Error('no');
  };
  const subscriber = make({ onEvent: undefined, onBatch, batchSize: 2 });
  await subscriber.start();
  await clock.advance(1000);
  expect(batches.flat().sort()).toEqual([1, 1, 2, 2, 3]);
  expect(await subscriber.progress()).toMatchObject({ lag: 0 });
  await subscriber.stop();
});

it('with a store, a crash at any step leaves every effect once', async () => {
  const count = (event: SourceEvent, tx: EffectTransaction): void => {
    const before = tx.get('effects', String(event.payload));
    tx.put('effects', String(event.payload), (typeof before === 'number' ? before : 0) + 1);
  };
  let crashes = 0;
  for (let crashAt = 1; ; crashAt++) {
    const { clock, source, make } = setUp();
    const store = new SmallStore();
    for (let i = 1; i <= 3; i++) source.append(i);
    let [steps, crashed] = [0, false];
    const step = (): void => {
      steps += 1;
      if (!crashed && steps !== crashAt) return;
      crashed = true;
      throw new Error('crash');
    };
    const dies = async (work: () => void): Promise<void> => {
      try {
        step();
        work();
        step();
      } catch {
        await new Promise(() => {});
      }
    };
    store.atCommit = () => {
      if (!crashed) step();
      else throw new Error('dead');
    };
    // An acknowledgement that the server takes, or that the death of the process prevents.
    source.fault = (call) => call === 'ack' && step();
    const first = make({ effectStore: store, closeTimeout: 1, onEvent: (event, tx) => dies(() => count(event, tx)) });
    await first.start();
    await clock.advance(10);
    const stopped = first.stop();
    await clock.advance(10);
    await stopped;
    [store.atCommit, source.fault] = [undefined, undefined];
    const second = make({ effectStore: store, onEvent: count });
    await second.start();
    await clock.advance(100_000);
    await second.stop();
    expect(Object.fromEntries(store.scan('effects')), `step ${crashAt}`).toEqual({ 1: 1, 2: 1, 3: 1 });
    if (!crashed) break;
    crashes += 1;
  }
  await settle();
  expect(crashes).toBeGreaterThan(10);
});
