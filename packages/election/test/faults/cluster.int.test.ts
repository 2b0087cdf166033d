/** Candidates on a cluster of three servers with the bucket on all three, while servers die and come back. */
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type TestNatsCluster, testNatsCluster } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Recorder } from './recorder.ts';

const TTL = 2000;
const BUCKET = 'replicated';
/** JetStream needs 4-6 s to choose a new stream leader; then a lease may have to run out. */
const RECOVERED = { timeoutMs: 25_000 };

let stack: AsyncDisposableStack;
let nats: TestNatsCluster;
let session: NatsSession;
let recorder: Recorder;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  nats = stack.use(await testNatsCluster());
  session = stack.use(await connectNats(nats.connection, { name: 'test', env: systemEnv() }));
  recorder = stack.use(new Recorder(BUCKET, TTL));
  await session.ensureKv(BUCKET, { ttlMs: TTL, replicas: 3 });
  const urls = nats.nodes.map(({ url }) => url);
  // Each candidate prefers another server.
  for (const [i, id] of ['a', 'b', 'c'].entries())
    await recorder.candidate(id, [...urls.slice(i), ...urls.slice(0, i)]);
});
afterAll(() => stack?.disposeAsync());

type Server = TestNatsCluster['nodes'][number];

/** The server that leads the bucket's stream, and one that follows. */
async function roles(): Promise<{ leader: Server; follower: Server }> {
  const until = systemClock.monotonic() + 20_000;
  for (;;) {
    const name = await streamLeader().catch(() => undefined);
    const leader = nats.nodes.find((node) => node.name === name);
    const follower = nats.nodes.find((node) => node.name !== name);
    if (leader !== undefined && follower !== undefined) return { leader, follower };
    if (systemClock.monotonic() > until) throw new Error('the stream has no leader');
    await systemClock.sleep(100);
  }
}

async function streamLeader(): Promise<string | undefined> {
  const answer = await session.bus.request(`$JS.API.STREAM.INFO.KV_${BUCKET}`, new Uint8Array(), { timeoutMs: 2000 });
  const info = JSON.parse(new TextDecoder().decode(answer.data)) as { cluster?: { leader?: string } };
  return info.cluster?.leader;
}

describe('on a cluster of three', () => {
  it('the death of the stream leader and of a follower leave at most one leader, and one again', async () => {
    expect((await (await session.kv(BUCKET)).info()).replicas).toBe(3);
    await recorder.led(RECOVERED);
    for (const role of ['leader', 'follower'] as const) {
      const server = (await roles())[role];
      await server.kill('SIGKILL');
      await recorder.led(RECOVERED);
      await systemClock.sleep(TTL);
      await recorder.led(RECOVERED);
      await server.restart();
      await nats.cluster.ready();
      expect(recorder.violations(), `after the death of a ${role}`).toEqual([]);
    }
  });

  it('a rolling restart of all servers, too', async () => {
    for (const server of nats.nodes) {
      await server.restart();
      await nats.cluster.ready();
      await recorder.led(RECOVERED);
    }
    expect(recorder.violations()).toEqual([]);
  });

  it('two of three gone: nobody leads for longer than a lease; one back: somebody does', async () => {
    const { leader, follower } = await roles();
    await Promise.all([leader.kill(), follower.kill()]);
    await systemClock.sleep(TTL + 500);
    expect(recorder.leader()).toBeUndefined();
    await follower.restart();
    await recorder.led(RECOVERED);
    expect(recorder.violations()).toEqual([]);
    expect(recorder.history().length).toBeGreaterThanOrEqual(2);
  });
});
