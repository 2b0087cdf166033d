/** A watch that the server forgot without a word: its consumer is gone, the connection is fine. */
import { type Env, systemEnv } from '@canopy/core';
import { memoryLogger } from '@canopy/core/testing';
import { connectNats, type NatsSession } from '@canopy/nats';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { connect } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { consumerNames } from '../consumers.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function open(nats: TestNatsServer, env: Env = systemEnv()): Promise<NatsSession> {
  const session = await connectNats(nats.connection, { name: 'watcher', env });
  onTestFinished(() => session.close());
  return session;
}

/** Each event as a short text. */
function record(events: AsyncIterable<{ type: string; entry?: { key: string }; blob?: { name: string } }>): string[] {
  const seen: string[] = [];
  void (async () => {
    for await (const event of events) seen.push(event.entry?.key ?? event.blob?.name ?? event.type);
  })();
  return seen;
}

test.each(['KV_b', 'OBJ_b'])(
  '%s: silence is noticed, and what was missed is told',
  async (stream) => {
    const nats = await testNatsServer({ onCleanup: onTestFinished });
    const { log, lines } = memoryLogger();
    const session = await open(nats, systemEnv({ log }));
    const kv = await session.ensureKv('b');
    const blobs = await session.ensureBlobs('b');
    const seen = record(stream === 'KV_b' ? kv.watch('>') : blobs.watch(''));
    await eventually(() => seen.includes('synced'));
    const [consumer] = await consumerNames(nats.url, stream);
    const nc = await connect({ servers: nats.url });
    onTestFinished(() => nc.close());
    await nc.request(`$JS.API.CONSUMER.DELETE.${stream}.${consumer}`);
    await (stream === 'KV_b' ? kv.put('missed', bytes('x')) : blobs.put('missed', bytes('x')));
    await eventually(() => seen.includes('interrupted'), { timeoutMs: 8000 });
    await eventually(() => seen.includes('missed') && seen.filter((event) => event === 'synced').length === 2);
    expect(seen).toEqual(['synced', 'interrupted', 'missed', 'synced']);
    expect(await consumerNames(nats.url, stream)).toHaveLength(1);
    const line = lines.find(({ event }) => event === 'nats_watch_interrupted');
    expect(line?.fields.reason).toMatch(/silent|ended the watch/);
  },
  30_000,
);

test('all watchers of a bucket share one consumer per session and one tick between the sessions', async () => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const sessions = await Promise.all(Array.from({ length: 5 }, () => open(nats)));
  const kv = await (sessions[0] as NatsSession).ensureKv('b');
  const watches: string[][] = [];
  for (const session of sessions) {
    const own = await session.kv('b');
    for (let i = 0; i < 100; i++) watches.push(record(own.watch(`key.${i}`)));
  }
  await eventually(() => watches.every((seen) => seen.includes('synced')));
  expect(await consumerNames(nats.url, 'KV_b')).toHaveLength(5);
  const before = (await kv.info()).lastRevision;
  await systemEnv().clock.sleep(4000);
  const ticks = (await kv.info()).lastRevision - before;
  // One each 500 to 750 ms, whoever writes it; now and then two at once.
  expect(ticks).toBeGreaterThanOrEqual(4);
  expect(ticks).toBeLessThanOrEqual(16);
  expect(watches.every((seen) => seen.length === 1)).toBe(true);
  expect(await kv.keys()).toEqual([]);
}, 30_000);
