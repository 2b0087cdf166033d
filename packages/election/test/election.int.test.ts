import { systemClock, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import {
  type ChildNode,
  eventually,
  type LeadershipInterval,
  leadershipViolations,
  spawnNode,
  type TestNatsServer,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Election, type ElectionOptions } from '../src/index.ts';
import { marginOf } from '../src/options.ts';

const TTL = 1500;
const CANDIDATE = new URL('./candidate.ts', import.meta.url);
const env = systemEnv();

let nats: TestNatsServer;
let buckets = 0;
const newBucket = (): string => `elections-${++buckets}`;

beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

async function connect(name: string): Promise<NatsSession> {
  const session = await connectNats(nats.connection, { name, env });
  onTestFinished(() => session.close());
  return session;
}

async function candidate(bucket: string, instanceId: string, options: Partial<ElectionOptions> = {}) {
  const session = await connect(instanceId);
  const election = new Election({ session, bucket, group: 'g', instanceId, ttl: TTL, ...options }, env);
  onTestFinished(() => election.stop());
  await election.start();
  return { session, election };
}

async function spawn(bucket: string, id: string): Promise<ChildNode> {
  const child = await spawnNode(CANDIDATE, [nats.url, bucket, id, String(TTL)]);
  onTestFinished(() => child[Symbol.asyncDispose]());
  await child.line(/^started/);
  return child;
}

/** What the lines of a candidate say: one interval per term, from the first to the last moment it said that it leads. */
function intervals(holder: string, child: ChildNode): LeadershipInterval[] {
  const terms = new Map<number, LeadershipInterval>();
  for (const line of child.lines) {
    const match = /^lead (\d+) ([\d.]+)$/.exec(line);
    if (match === null) continue;
    const [epoch, at] = [Number(match[1]), Number(match[2])];
    const fromMs = terms.get(epoch)?.fromMs ?? at;
    terms.set(epoch, { key: 'g', holder, epoch, fromMs, toMs: at });
  }
  return [...terms.values()];
}

describe('elections on a real server', () => {
  it('keep one leader and one term over many ttls', async () => {
    const bucket = newBucket();
    const { election: a } = await candidate(bucket, 'a', { ttl: 600 });
    const { election: b } = await candidate(bucket, 'b', { ttl: 600 });
    const { epoch, signal } = await a.waitForLeadership({ timeout: 5000 });
    await systemClock.sleep(5 * 600);
    expect([a.isLeader, a.epoch, signal.aborted, b.isLeader, b.leaderId]).toEqual([true, epoch, false, false, 'a']);
  });

  it('hand over within a fraction of the ttl', async () => {
    const bucket = newBucket();
    const { election: a } = await candidate(bucket, 'a');
    // Started means that it stands, not that it leads: a second one at once might be quicker.
    const { epoch } = await a.waitForLeadership({ timeout: 5000 });
    const { election: b } = await candidate(bucket, 'b');
    const from = systemClock.monotonic();
    const [led] = await Promise.all([b.waitForLeadership({ timeout: 5000 }), a.stepDown()]);
    expect(systemClock.monotonic() - from).toBeLessThan(TTL / 3);
    expect(led.epoch).toBeGreaterThan(epoch);
  });

  it('hand off to the named one', async () => {
    const bucket = newBucket();
    const { election: a } = await candidate(bucket, 'a');
    await a.waitForLeadership({ timeout: 5000 });
    const others = [await candidate(bucket, 'b'), await candidate(bucket, 'c'), await candidate(bucket, 'd')];
    await a.handoff('d');
    await others[2]?.election.waitForLeadership({ timeout: 1000 });
    expect(others.map(({ election }) => election.isLeader)).toEqual([false, false, true]);
  });

  it('take over a holder that vanished after its ttl, not before', async () => {
    const bucket = newBucket();
    const { election: a, session } = await candidate(bucket, 'a');
    const { signal } = await a.waitForLeadership({ timeout: 5000 });
    const { election: b } = await candidate(bucket, 'b');
    await eventually(() => b.leaderId === 'a');
    const lastRenewal = (): number => (a.leadership?.deadline() ?? Number.NaN) - (TTL - marginOf(TTL));
    const from = lastRenewal();
    const lostAt = new Promise<number>((resolve) =>
      signal.addEventListener('abort', () => resolve(systemClock.monotonic()), { once: true }),
    );
    await session.close();
    await b.waitForLeadership({ timeout: 3 * TTL });
    const tookMs = systemClock.monotonic() - from;
    expect(tookMs).toBeGreaterThanOrEqual(TTL);
    expect(tookMs).toBeLessThan(TTL * 1.34 + 500);
    expect(await lostAt).toBeLessThan(systemClock.monotonic());
    expect(a.isLeader).toBe(false);
  });

  it('never overlap when the holder is frozen for two ttls and woken', async () => {
    const bucket = newBucket();
    const a = await spawn(bucket, 'a');
    await a.line(/^lead/);
    const b = await spawn(bucket, 'b');
    for (const [frozen, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const terms = intervals('other', other).length;
      frozen.signal('SIGSTOP');
      await eventually(() => intervals('other', other).length > terms, { timeoutMs: 3 * TTL });
      await systemClock.sleep(TTL);
      frozen.signal('SIGCONT');
      await systemClock.sleep(TTL / 2);
    }
    const history = [...intervals('a', a), ...intervals('b', b)];
    expect(history.length).toBeGreaterThanOrEqual(3);
    expect(leadershipViolations(history)).toEqual([]);
  });

  it('pass to another process when the holder is killed, after its lease and not before', async () => {
    const bucket = newBucket();
    const a = await spawn(bucket, 'a');
    await a.line(/^lead/);
    const b = await spawn(bucket, 'b');
    await a.kill();
    await b.line(/^lead/, { timeoutMs: 3 * TTL });
    const history = [...intervals('a', a), ...intervals('b', b)];
    expect(leadershipViolations(history)).toEqual([]);
    const gapMs = (history[1]?.fromMs ?? 0) - (history[0]?.toMs ?? 0);
    // The last renewal lies up to one heartbeat (a third of the ttl) before the death.
    expect(gapMs).toBeGreaterThan((TTL * 2) / 3 - 100);
    expect(gapMs).toBeLessThan(TTL + 1000);
  });

  it('keep the leader over a restart of the server that is shorter than the lease', async () => {
    const bucket = newBucket();
    const { election: a, session } = await candidate(bucket, 'a', { ttl: 6000 });
    const { epoch, signal } = await a.waitForLeadership({ timeout: 5000 });
    await nats.server.restart();
    await eventually(() => session.status().connected && a.status().connected);
    const renewed = a.leadership?.deadline() ?? 0;
    await eventually(() => (a.leadership?.deadline() ?? 0) > renewed, { timeoutMs: 6000 });
    expect([a.isLeader, a.epoch, signal.aborted]).toEqual([true, epoch, false]);
  });

  it('elect exactly one of ten that start together', async () => {
    const bucket = newBucket();
    await (await connect('maker')).ensureKv(bucket, { ttlMs: TTL });
    const all = await Promise.all(Array.from({ length: 10 }, (_, i) => candidate(bucket, `n${i}`)));
    await eventually(() => all.some(({ election }) => election.isLeader));
    for (let i = 0; i < 20; i++) {
      expect(all.filter(({ election }) => election.isLeader)).toHaveLength(1);
      await systemClock.sleep(20);
    }
  });

  it('grow the epoch over a thousand terms', async () => {
    const kv = await (await connect('k')).ensureKv(newBucket(), { ttlMs: 0 });
    let last = 0;
    for (let i = 0; i < 1000; i++) {
      const election = new Election({ kv, group: 'g', instanceId: `n${i % 3}`, jitter: 0 }, env);
      await election.start();
      const { epoch } = await election.waitForLeadership({ timeout: 5000 });
      expect(epoch).toBeGreaterThan(last);
      last = epoch;
      await election.stop();
    }
  }, 60_000);
});
