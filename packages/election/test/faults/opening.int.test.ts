/** Candidates that start on a bucket that does not exist, on a cluster of three that has just been restarted. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { eventually, type TestNatsCluster, testNatsCluster } from '@canopy/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Election } from '../../src/index.ts';

const env = systemEnv();
const CANDIDATES = 9;

let stack: AsyncDisposableStack;
let nats: TestNatsCluster;
let sessions: NatsSession[];

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  nats = stack.use(await testNatsCluster());
  const urls = nats.nodes.map(({ url }) => url);
  sessions = await Promise.all(urls.map((url) => connectNats({ servers: [url] }, { name: 'candidates', env })));
  for (const session of sessions) stack.use(session);
});
afterAll(() => stack?.disposeAsync());

it('all of them start, and one leads', async () => {
  for (const bucket of ['first', 'second', 'third']) {
    await Promise.all(nats.nodes.map((node) => node.restart()));
    await eventually(() => sessions.every((session) => session.status().connected), { what: 'connections' });
    const elections = Array.from({ length: CANDIDATES }, (_, i) => {
      const session = sessions[i % sessions.length] as NatsSession;
      return new Election({ session, bucket, group: 'g', instanceId: `c${i}`, ttl: 3000 }, env);
    });
    try {
      const outcomes = await Promise.allSettled(elections.map((election) => election.start()));
      expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
      await eventually(() => elections.filter(({ isLeader }) => isLeader).length === 1, {
        timeoutMs: 20_000,
        what: 'one leader',
      });
    } finally {
      await Promise.all(elections.map((election) => election.stop()));
    }
  }
}, 120_000);
