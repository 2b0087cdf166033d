/**
 * Failsafe on real servers: the server that leads the bucket's stream is killed, so that for seconds nothing can be
 * written, and a holder is cut off from everybody.
 */
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { TcpProxy, type TestNatsCluster, testNatsCluster, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeLease, Election, type ElectionOptions } from '../../src/index.ts';

const TTL = 2000;
const FAILSAFE = { limit: '12s' } as const;
const env = systemEnv();

let stack: AsyncDisposableStack;
let nats: TestNatsCluster;
let session: NatsSession;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  nats = stack.use(await testNatsCluster());
  session = await connect(nats.connection.servers);
});
afterAll(() => stack?.disposeAsync());

async function connect(servers: readonly string[]): Promise<NatsSession> {
  const made = await connectNats({ ...nats.connection, servers }, { name: 'failsafe-test', env });
  stack.use(made);
  return made;
}

async function candidate(
  servers: readonly string[],
  instanceId: string,
  options: Partial<ElectionOptions> & Pick<ElectionOptions, 'bucket'>,
): Promise<Election> {
  const own = await connect(servers);
  const bucket = options.bucket as string;
  // A server that has just come back hears of a new bucket a moment later than the others.
  await until(
    () =>
      own
        .kv(bucket)
        .then(
          (kv) => kv.info().then(() => true),
          () => false,
        )
        .catch(() => false),
    `bucket ${bucket}`,
  );
  const election = new Election({ session: own, group: 'g', instanceId, ttl: TTL, ...options }, env);
  stack.defer(() => election.stop());
  await election.start();
  return election;
}

async function until(holds: () => boolean | Promise<boolean>, what: string, timeoutMs = 30_000): Promise<void> {
  const giveUpAt = systemClock.monotonic() + timeoutMs;
  while (!(await holds())) {
    if (systemClock.monotonic() > giveUpAt) throw new Error(`timed out: ${what}`);
    await systemClock.sleep(20);
  }
}

/** How many candidates the lease in the bucket lists. */
async function listed(by: NatsSession, bucket: string): Promise<number> {
  const entry = await (await by.kv(bucket)).get('g');
  return (entry && decodeLease(entry.value)?.failsafe?.peers.length) ?? 0;
}

/** Kills the server that leads the bucket's stream; returns how long nothing could be written. */
async function killStreamLeader(bucket: string): Promise<number> {
  const answer = await session.bus.request(`$JS.API.STREAM.INFO.KV_${bucket}`, new Uint8Array(), { timeoutMs: 2000 });
  const { cluster } = JSON.parse(new TextDecoder().decode(answer.data)) as { cluster?: { leader?: string } };
  const server = nats.nodes.find((node) => node.name === cluster?.leader);
  if (server === undefined) throw new Error('the stream has no leader');
  const kv = await session.kv(bucket);
  const from = systemClock.monotonic();
  await server.kill('SIGKILL');
  await until(
    async () => (await kv.put('probe', new Uint8Array([1]), { timeoutMs: 500 }).catch(() => 0)) > 0,
    'a write',
  );
  const outageMs = systemClock.monotonic() - from;
  await server.restart();
  await nats.cluster.ready();
  return outageMs;
}

/** Watches who leads, every few milliseconds, until stopped. */
function watchLeaders(elections: readonly Election[]): () => Promise<{ terms: Set<string>; most: number }> {
  const terms = new Set<string>();
  let most = 0;
  let ending = false;
  const watching = (async () => {
    while (!ending) {
      const leading = elections.filter((election) => election.isLeader);
      most = Math.max(most, leading.length);
      for (const election of leading) terms.add(`${election.instanceId} ${election.epoch}`);
      await systemClock.sleep(5);
    }
  })();
  return async () => {
    ending = true;
    await watching;
    return { terms, most };
  };
}

/** Three candidates in a bucket of their own, through the death of its stream's leader. */
async function outage(bucket: string, options: Partial<ElectionOptions>) {
  const { servers } = nats.connection;
  await session.ensureKv(bucket, { ttlMs: options.failsafe === undefined ? TTL : 0 });
  const elections = await Promise.all(['a', 'b', 'c'].map((id) => candidate(servers, id, { bucket, ...options })));
  await until(() => elections.some((election) => election.isLeader), 'a leader');
  if (options.failsafe !== undefined)
    await until(async () => (await listed(session, bucket)) === 3, 'all candidates listed');
  const leader = elections.find((election) => election.isLeader) as Election;
  const { signal } = leader.leadership as NonNullable<Election['leadership']>;
  const stop = watchLeaders(elections);
  const outageMs = await killStreamLeader(bucket);
  await until(() => elections.some((election) => election.isLeader), 'a leader after the outage');
  await systemClock.sleep(TTL);
  const seen = await stop();
  const lost = signal.aborted;
  await Promise.all(elections.map((election) => election.stop()));
  return { ...seen, outageMs, lost };
}

describe('the death of the server that leads the stream, with a lease shorter than the choice of another', () => {
  it('costs no term with failsafe', async () => {
    const { outageMs, lost, terms, most } = await outage('with', { failsafe: FAILSAFE });
    expect(outageMs).toBeGreaterThan(TTL);
    expect([lost, terms.size, most]).toEqual([false, 1, 1]);
  }, 120_000);

  it('costs the term without', async () => {
    const { outageMs, lost, terms, most } = await outage('without', {});
    expect(outageMs).toBeGreaterThan(TTL);
    expect([lost, most]).toEqual([true, 1]);
    expect(terms.size).toBeGreaterThan(1);
  }, 120_000);
});

describe('a holder that is cut off from everybody', () => {
  it('stops at its deadline, failsafe or not', async () => {
    const single = stack.use(await testNatsServer());
    const proxy = stack.use(await TcpProxy.start(single.url));
    const bucket = 'cut';
    const options = { bucket, failsafe: { limit: '4s' } } as const;
    const own = await connectNats({ ...single.connection, servers: [proxy.url] }, { name: 'cut', env });
    stack.use(own);
    const a = new Election({ session: own, group: 'g', instanceId: 'a', ttl: TTL, ...options }, env);
    stack.defer(() => a.stop({ timeout: 500 }));
    await a.start();
    const term = await a.waitForLeadership({ timeout: 15_000 });
    const theirs = await connectNats(single.connection, { name: 'other', env });
    stack.use(theirs);
    const b = new Election({ session: theirs, group: 'g', instanceId: 'b', ttl: TTL, ...options }, env);
    stack.defer(() => b.stop());
    await b.start();
    await until(async () => (await listed(theirs, bucket)) === 2, 'both listed');
    const stop = watchLeaders([a, b]);
    proxy.drop('both');
    const cutAt = systemClock.monotonic();
    await until(() => !a.isLeader, 'the end of the term', 5000);
    const endedAt = systemClock.monotonic();
    expect(endedAt - cutAt).toBeLessThan(TTL);
    expect(endedAt).toBeGreaterThanOrEqual(term.deadline());
    await until(() => b.isLeader, 'the other to lead', 10_000);
    expect((await stop()).most).toBe(1);
    await proxy.heal();
  }, 60_000);
});
