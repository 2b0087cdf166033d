/** Three servers, one of which is killed: the one that holds the watch's consumer, or the bucket's leader. */
import { systemEnv } from '@canopy/core';
import { connectNats, type KvWatchEvent, type NatsSession } from '@canopy/nats';
import { eventually, type TestNatsCluster, testNatsCluster } from '@canopy/testkit';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumerNames } from '../consumers.ts';

const env = systemEnv();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Placement {
  readonly cluster: { readonly leader: string };
}

let nats: TestNatsCluster;
const sessions: NatsSession[] = [];

beforeAll(async () => {
  nats = await testNatsCluster();
});
afterAll(async () => {
  for (const session of sessions) await session.close();
  await nats?.[Symbol.asyncDispose]();
});

async function open(servers: readonly string[]): Promise<NatsSession> {
  const session = await connectNats({ servers }, { name: 'cluster', env });
  sessions.push(session);
  return session;
}

async function ask<T>(url: string, subject: string): Promise<T> {
  const nc = await connect({ servers: url });
  try {
    return (await nc.request(subject, '', { timeout: 5000 })).json<T>();
  } finally {
    await nc.close();
  }
}

test('buckets are made with three replicas', async () => {
  const session = await open(nats.connection.servers);
  expect(session.status().clusterSize).toBeGreaterThanOrEqual(3);
  expect((await (await session.ensureKv('b')).info()).replicas).toBe(3);
  expect((await (await session.ensureBlobs('b')).bucketInfo()).replicas).toBe(3);
});

test('a watch recovers when the server with its consumer dies, soon after writes do', async () => {
  const urls = nats.nodes.map((node) => node.url);
  const setup = await open(urls);
  await setup.ensureKv('w');
  // A watcher on each server: whichever holds a consumer, some watcher is connected elsewhere and gets no event.
  const watchers = await Promise.all(urls.map((url) => open([url])));
  const seen: KvWatchEvent[][] = watchers.map(() => []);
  for (const [at, session] of watchers.entries()) {
    const kv = await session.kv('w');
    void (async () => {
      for await (const event of kv.watch('>')) seen[at]?.push(event);
    })();
  }
  await eventually(() => seen.every((events) => events.some((event) => event.type === 'synced')));
  const [consumer] = await consumerNames(urls[0] as string, 'KV_w');
  const { cluster } = await ask<Placement>(urls[0] as string, `$JS.API.CONSUMER.INFO.KV_w.${consumer}`);
  const victim = nats.nodes.find((node) => node.name === cluster.leader);
  expect(victim).toBeDefined();
  const survivors = nats.nodes.filter((node) => node !== victim);
  const writer = await (await open(survivors.map((node) => node.url))).kv('w');
  await victim?.kill();
  const killedAt = env.clock.monotonic();
  await writer.put('k', bytes('after'), { timeoutMs: 30_000 });
  const writableAt = env.clock.monotonic();
  const got = (events: readonly KvWatchEvent[]): boolean =>
    events.some((event) => event.type === 'entry' && event.entry.key === 'k');
  const alive = seen.filter((_, at) => nats.nodes[at] !== victim);
  await eventually(() => alive.every(got), { timeoutMs: 20_000, what: 'the watchers on surviving servers' });
  const recoveredMs = env.clock.monotonic() - writableAt;
  env.log.info('recovered', { writableMs: writableAt - killedAt, recoveredMs });
  expect(recoveredMs).toBeLessThan(10_000);
  await victim?.restart();
  await eventually(() => seen.every(got), { timeoutMs: 20_000, what: 'the watcher whose server was killed' });
  await eventually(async () => (await consumerNames(urls[0] as string, 'KV_w')).length === 3, {
    timeoutMs: 30_000,
    what: 'one consumer per watcher',
  });
}, 120_000);

test('a chain of conditional writes survives the loss of the leader without a false conflict', async () => {
  const urls = nats.nodes.map((node) => node.url);
  const kv = await (await open(urls)).ensureKv('cas');
  let revision = await kv.create('n', bytes('0'));
  const { cluster } = await ask<Placement>(urls[0] as string, '$JS.API.STREAM.INFO.KV_cas');
  const leader = nats.nodes.find((node) => node.name === cluster.leader);
  expect(leader).toBeDefined();
  let killing: Promise<void> | undefined;
  for (let n = 1; n <= 300; n++) {
    if (n === 100) killing = leader?.kill();
    revision = await kv.update('n', bytes(`${n}`), revision, { timeoutMs: 30_000 });
  }
  await killing;
  const entry = await kv.get('n', { timeoutMs: 30_000 });
  expect(Buffer.from(entry?.value ?? []).toString()).toBe('300');
  expect(entry?.revision).toBe(revision);
  await leader?.restart();
}, 120_000);
