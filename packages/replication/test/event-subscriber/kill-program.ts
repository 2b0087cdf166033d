/**
 * A program for the kill tests: a subscriber whose effects are in a SQLite file. For each event it counts one up under the event's number and one up in the
 * sum. It says `handled n` before the effect is committed, and `caught up` when there is nothing more to do.
 */
import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import {
  DurableSubscriber,
  type EffectTransaction,
  EventSubscriber,
  jetStreamPipelineSource,
  type SourceEvent,
  SqliteStore,
} from '@canopy/replication';

const [url, path, kind] = process.argv.slice(2) as [string, string, string];
const env = systemEnv();
const effectStore = SqliteStore.open({ path, durability: 'process', busyTimeoutMs: 10_000 });
const session = await connectNats({ servers: [url] }, { name: kind, env, waitForServer: true });

const handling = {
  namespace: 'kills',
  effectStore,
  batchSize: 10,
  onEvent: async (event: SourceEvent, tx: EffectTransaction): Promise<void> => {
    for (const key of [`n${event.payload}`, 'sum']) tx.put('effects', key, Number(tx.get('effects', key) ?? 0) + 1);
    await env.clock.sleep(Number(event.payload) % 4);
    process.stdout.write(`handled ${event.payload}\n`);
  },
};

async function isCaughtUp(): Promise<() => Promise<boolean>> {
  if (kind === 'durable') {
    const stream = await session.stream('KILLS');
    const consumer = await stream.consumer('worker', { ackWaitMs: 1000 });
    const subscriber = new DurableSubscriber(consumer, { ...handling, fetchWait: 1000, workingInterval: 300 }, env);
    await subscriber.start();
    return async () => (await subscriber.progress()).caughtUp;
  }
  const source = await jetStreamPipelineSource(session, { namespace: 'kills' });
  const subscriber = new EventSubscriber(source, { ...handling, pollInterval: 50 }, env);
  await subscriber.subscribe('events', { batchSize: 10 });
  subscriber.start();
  return async () => (await subscriber.progress()).every(({ caughtUp }) => caughtUp);
}

const caughtUp = await isCaughtUp();
for (;;) {
  await env.clock.sleep(100);
  if (await caughtUp().catch(() => false)) process.stdout.write('caught up\n');
}
