/** Exactly one effect: a subscriber dies between any two of its steps and a new one goes on. */
import { systemEnv } from '@canopy/core';
import { seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import { expect, it } from 'vitest';
import {
  type EffectTransaction,
  EventSubscriber,
  type EventSubscriberConfig,
  type SourceEvent,
} from '../../src/index.ts';
import { PlainSource } from './plain-source.ts';
import { SmallStore } from './small-store.ts';

const clock = new VirtualClock();
const env = systemEnv({ clock, random: seededRandom('effects') });

/** The effect is a counter an event: 1 when it was made exactly once. */
function count(event: SourceEvent, tx: EffectTransaction): void {
  const before = tx.get('effects', `n${event.offset}`);
  tx.put('effects', `n${event.offset}`, (typeof before === 'number' ? before : 0) + 1);
}

class Crash extends Error {}

/** Whoever lives in a dead process does nothing more: its handlers hang, its store refuses. */
async function life(
  source: PlainSource,
  store: SmallStore,
  config: Partial<EventSubscriberConfig>,
  crashAt: number,
): Promise<{ readonly steps: number; readonly crashed: boolean }> {
  let steps = 0;
  let crashed = false;
  const step = (): void => {
    steps += 1;
    if (crashed || steps === crashAt) {
      crashed = true;
      throw new Crash();
    }
  };
  store.atCommit = step;
  const dies = async (work: () => void): Promise<void> => {
    try {
      step();
      work();
      await Promise.resolve();
      step();
    } catch (error) {
      if (crashed) await new Promise(() => {});
      throw error;
    }
  };
  const wrapped: Partial<EventSubscriberConfig> =
    config.onBatch === undefined
      ? { onEvent: (event, tx) => dies(() => config.onEvent?.(event, tx)) }
      : { onBatch: (events, tx) => dies(() => config.onBatch?.(events, tx)) };
  try {
    const subscriber = new EventSubscriber(source, { namespace: 't', effectStore: store, ...config, ...wrapped }, env);
    await subscriber.subscribe('a');
    for (let round = 0; round < 4; round++) {
      void subscriber.poll().catch(() => {});
      await settle();
      await clock.advance(1000);
    }
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
  }
  store.atCommit = undefined;
  return { steps, crashed };
}

const KINDS: Record<string, Partial<EventSubscriberConfig>> = {
  events: { onEvent: count, batchSize: 2 },
  batches: {
    onBatch: (events, tx) => {
      for (const event of events) count(event, tx);
    },
    batchSize: 2,
  },
  keys: { onEvent: count, batchSize: 3, enableIdempotency: true, maxIdempotencyKeys: 4 },
};

for (const [kind, config] of Object.entries(KINDS))
  it(`${kind}: after a crash at any step every effect is there once`, async () => {
    let crashes = 0;
    for (let crashAt = 1; ; crashAt++) {
      const source = new PlainSource();
      source.fill('a', 5, (index) => `k${index}`);
      const store = new SmallStore();
      const { crashed } = await life(source, store, config, crashAt);
      await life(source, store, config, Number.POSITIVE_INFINITY);
      expect(Object.fromEntries(store.scan('effects')), `crash at step ${crashAt}`).toEqual({
        n0: 1,
        n1: 1,
        n2: 1,
        n3: 1,
        n4: 1,
      });
      if (!crashed) break;
      crashes += 1;
    }
    expect(crashes).toBeGreaterThan(10);
  });

it('an event that fails while later ones are done: those are not done again after a restart', async () => {
  const source = new PlainSource();
  source.fill('a', 6);
  const store = new SmallStore();
  let broken = true;
  const onEvent = (event: SourceEvent, tx: EffectTransaction): void => {
    count(event, tx);
    if (event.offset === 1 && broken) throw new Error('no');
  };
  const make = (): EventSubscriber => new EventSubscriber(source, { namespace: 't', effectStore: store, onEvent }, env);
  const first = make();
  await first.subscribe('a');
  await first.poll();
  expect(await first.getCheckpoint('a')).toBe(1);
  expect(store.get('effects', 'n1')).toBeUndefined();
  broken = false;
  const second = make();
  await second.subscribe('a');
  await second.poll();
  expect([...store.scan('effects').map(([, value]) => value)]).toEqual([1, 1, 1, 1, 1, 1]);
  expect(await second.getCheckpoint('a')).toBe(6);
  expect(store.count('event-subscriber')).toBe(1);
});

it('keys survive a restart: an event that is published again elsewhere has no second effect', async () => {
  const source = new PlainSource();
  const long = 'x'.repeat(2000);
  source.fill('a', 2, (index) => (index === 0 ? 'order-1' : long));
  source.fill('b', 2, (index) => (index === 0 ? 'order-1' : long));
  const store = new SmallStore();
  const seen: string[] = [];
  const onEvent = (event: SourceEvent): void => void seen.push(event.topic);
  const config = { namespace: 't', effectStore: store, onEvent, enableIdempotency: true };
  const first = new EventSubscriber(source, config, env);
  await first.subscribe('a');
  await first.poll();
  const second = new EventSubscriber(source, config, env);
  await second.subscribe('b');
  await second.poll();
  expect([seen, second.idempotencyStats.duplicatesSkipped]).toEqual([['a', 'a'], 2]);
  await clock.advance(60_001);
  second.cleanupIdempotencyKeys();
  expect(store.scan('event-subscriber').filter(([key]) => key.includes('|key|'))).toEqual([]);
});

it('the transaction ends with the handler, sees its own changes, and is there only with a store', async () => {
  const source = new PlainSource();
  source.fill('a', 1);
  const store = new SmallStore();
  let kept: EffectTransaction | undefined;
  const onEvent = (_event: SourceEvent, tx: EffectTransaction): void => {
    tx.put('s', 'k', 1);
    expect(tx.get('s', 'k')).toBe(1);
    tx.delete('s', 'k');
    expect(tx.get('s', 'k')).toBeUndefined();
    kept = tx;
  };
  const subscriber = new EventSubscriber(source, { namespace: 't', effectStore: store, onEvent }, env);
  await subscriber.subscribe('a');
  await subscriber.poll();
  expect(subscriber.stats.eventsProcessed).toBe(1);
  expect(() => kept?.put('s', 'k', 2)).toThrow(/after the handler had ended/);
  const errors: unknown[] = [];
  const onError = (error: Error): void => void errors.push((error as { code?: string }).code);
  const checkpointStore = {
    get: async () => null,
    set: async () => {},
    delete: async () => {},
    getAll: async () => new Map(),
  };
  const plain = new EventSubscriber(source, { namespace: 't', checkpointStore, onEvent, onError }, env);
  await plain.subscribe('a');
  await plain.poll();
  expect(errors).toEqual(['SUBSCRIBER_EFFECT_STORE_MISSING']);
  expect(() => new EventSubscriber(source, { namespace: 't', effectStore: store, onEvent, onBatch: () => {} })).toThrow(
    /not both/,
  );
  expect(() => new EventSubscriber(source, { namespace: 't', effectStore: store, checkpointMode: 'manual' })).toThrow(
    /must be auto/,
  );
});
