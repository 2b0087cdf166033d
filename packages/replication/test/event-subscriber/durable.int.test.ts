/** A durable subscriber on a real server that is killed, with a handler that is slow, one event that is poison, and lives that end at any moment. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import {
  type DeadLetter,
  DurableSubscriber,
  type DurableSubscriberConfig,
  type SourceEvent,
} from '@canopy/replication';
import { eventually, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { SmallStore } from './small-store.ts';

const EVENTS = 200;
const POISON = 50;
const SLOW = 120;
const BOUND = { timeoutMs: 60_000 };

test('every effect once over kills of the server and lives of the subscriber', async () => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const session = async (): Promise<NatsSession> => {
    const made = await connectNats(nats.connection, { name: 'sub', env: systemEnv() });
    onTestFinished(() => made.close());
    return made;
  };
  const stream = await (await session()).ensureStream('ORDERS', { subjects: ['orders.>'] });
  const store = new SmallStore();
  const letters: DeadLetter[] = [];
  const env = systemEnv();
  let slowRuns = 0;
  const config: DurableSubscriberConfig = {
    namespace: 't',
    effectStore: store,
    batchSize: 20,
    fetchWait: 1000,
    workingInterval: 300,
    retryDelay: 20,
    deadLetter: (letter) => void letters.push(letter),
    onEvent: async (event: SourceEvent, tx) => {
      const n = String(event.payload);
      if (event.payload === POISON) throw new Error('poison');
      if (event.payload === SLOW) {
        slowRuns += 1;
        await env.clock.sleep(1800);
      }
      const before = tx.get('effects', n);
      tx.put('effects', n, (typeof before === 'number' ? before : 0) + 1);
    },
  };
  const life = async (): Promise<DurableSubscriber> => {
    const mine = await (await session()).stream('ORDERS');
    const consumer = await mine.consumer('worker', { ackWaitMs: 1000 });
    const subscriber = new DurableSubscriber(consumer, config, env);
    onTestFinished(() => subscriber.stop());
    await subscriber.start();
    return subscriber;
  };
  const first = await life();
  const writing = (async () => {
    for (let n = 0; n < EVENTS; n++)
      await stream.append('orders.new', Buffer.from(JSON.stringify(n)), { timeoutMs: 30_000 });
  })();
  await eventually(() => store.count('effects') > 20, BOUND);
  await nats.server.kill();
  await nats.server.restart();
  await eventually(() => store.count('effects') > 80, BOUND);
  await first.stop();
  const second = await life();
  await writing;
  await nats.server.kill();
  await nats.server.restart();
  await eventually(() => store.count('effects') === EVENTS - 1 && letters.length > 0, BOUND);
  await eventually(async () => (await second.progress().catch(() => undefined))?.caughtUp === true, BOUND);
  const effects = new Map(store.scan('effects'));
  expect([...effects.values()].every((count) => count === 1)).toBe(true);
  expect(effects.has(String(POISON))).toBe(false);
  expect(letters[0]).toMatchObject({ event: { payload: POISON }, error: { message: 'poison' } });
  expect(slowRuns).toBeGreaterThan(0);
});
