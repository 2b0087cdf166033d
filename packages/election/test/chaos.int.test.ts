/**
 * What goes wrong with a leader, on a real server: its connection closes for good, it ends without a word, another of
 * higher priority comes. In each case the next leader begins after the old one's `isLeader` has become false, and hooks run once.
 */
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Election, type ElectionOptions } from '../src/index.ts';

const TTL = 1500;
const env = systemEnv();
let nats: TestNatsServer;
let buckets = 0;

beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

interface Candidate {
  readonly election: Election;
  readonly session: NatsSession;
  readonly promoted: string[];
  readonly demoted: string[];
}

function scene() {
  const bucket = `chaos-${++buckets}`;
  const all: Candidate[] = [];
  /** At each promotion: who else said, at that moment, that it leads. */
  const overlaps: string[] = [];
  const candidate = async (instanceId: string, options: Partial<ElectionOptions> = {}): Promise<Candidate> => {
    const session = await connectNats(nats.connection, { name: instanceId, env });
    onTestFinished(() => session.close());
    const election = new Election({ session, bucket, group: 'g', instanceId, ttl: TTL, ...options }, env);
    onTestFinished(() => election.stop());
    const made: Candidate = { election, session, promoted: [], demoted: [] };
    election.onPromote(() => {
      made.promoted.push(instanceId);
      for (const other of all) if (other !== made && other.election.isLeader) overlaps.push(other.election.instanceId);
    });
    election.onDemote(({ reason }) => void made.demoted.push(reason));
    all.push(made);
    await election.start();
    return made;
  };
  return { candidate, overlaps };
}

describe('the leader', () => {
  it.each([
    ['and its grace is short', { disconnectGracePeriod: '1s' }],
    ['and its grace is that of the lease', {}],
  ])('loses its connection for good %s: another leads after the lease, once', async (_what, options) => {
    const { candidate, overlaps } = scene();
    const a = await candidate('a', { heartbeatInterval: 300, ...options });
    await a.election.waitForLeadership({ timeout: 5000 });
    const b = await candidate('b');
    const from = systemClock.monotonic();
    await a.session.close();
    await b.election.waitForLeadership({ timeout: 3 * TTL });
    expect(systemClock.monotonic() - from).toBeLessThan(TTL + 1000);
    await systemClock.sleep(TTL);
    expect([a.election.isLeader, b.election.isLeader]).toEqual([false, true]);
    expect([b.promoted, a.demoted.length, overlaps]).toEqual([['b'], 1, []]);
  });

  it('is stopped without releasing: another leads after the lease', async () => {
    const { candidate, overlaps } = scene();
    const a = await candidate('a');
    await a.election.waitForLeadership({ timeout: 5000 });
    const b = await candidate('b');
    const from = systemClock.monotonic();
    await a.election.stop({ deleteKey: false });
    await a.session.close();
    await b.election.waitForLeadership({ timeout: 3 * TTL });
    expect(systemClock.monotonic() - from).toBeGreaterThan((TTL * 2) / 3 - 100);
    expect(systemClock.monotonic() - from).toBeLessThan(TTL + 1000);
    expect(overlaps).toEqual([]);
  });

  it('is stopped and releases: another leads at once, and is promoted once', async () => {
    const { candidate, overlaps } = scene();
    const a = await candidate('a');
    await a.election.waitForLeadership({ timeout: 5000 });
    const b = await candidate('b');
    const from = systemClock.monotonic();
    await a.election.stop({ deleteKey: true, waitForDemote: true, timeout: 10_000 });
    await b.election.waitForLeadership({ timeout: TTL });
    expect(systemClock.monotonic() - from).toBeLessThan(TTL / 3);
    await systemClock.sleep(TTL);
    expect([b.promoted, a.demoted, overlaps]).toEqual([['b'], ['stop'], []]);
  });

  it.each([['lives'], ['has lost its connection']])(
    'has priority 10, and one of priority 20 comes, while the old one %s',
    async (what) => {
      const { candidate, overlaps } = scene();
      const a = await candidate('a', { priority: 10 });
      await a.election.waitForLeadership({ timeout: 5000 });
      if (what !== 'lives') await a.session.close();
      const from = systemClock.monotonic();
      const b = await candidate('b', { priority: 20, allowPriorityTakeover: true });
      if (what === 'lives') {
        // The victim hears of it by the watch and stops; the challenger waits for the end of the lease all the same.
        await eventually(() => a.demoted.length === 1, { timeoutMs: TTL / 2 });
        expect(a.election.isLeader).toBe(false);
      }
      await b.election.waitForLeadership({ timeout: 3 * TTL });
      expect(systemClock.monotonic() - from).toBeGreaterThan(TTL - 100);
      await systemClock.sleep(TTL / 2);
      expect([a.election.isLeader, a.demoted.length, b.promoted, overlaps]).toEqual([false, 1, ['b'], []]);
    },
  );

  it('has priority 10, and one of the same priority, or one that may not preempt, changes nothing', async () => {
    const { candidate } = scene();
    const a = await candidate('a', { priority: 10 });
    await a.election.waitForLeadership({ timeout: 5000 });
    await candidate('b', { priority: 10, allowPriorityTakeover: true });
    await candidate('c', { priority: 20 });
    await systemClock.sleep(2 * TTL);
    expect([a.election.isLeader, a.demoted]).toEqual([true, []]);
  });

  it('does not let itself be preempted when it said so', async () => {
    const { candidate } = scene();
    const a = await candidate('a', { priority: 10, preemptible: false });
    await a.election.waitForLeadership({ timeout: 5000 });
    await candidate('b', { priority: 20, allowPriorityTakeover: true });
    await systemClock.sleep(2 * TTL);
    expect([a.election.isLeader, a.demoted]).toEqual([true, []]);
  });
});

it('an election opens and closes a connection of its own when it is given servers', async () => {
  const election = new Election({ servers: nats.url, bucket: 'own', group: 'g', instanceId: 'a' });
  await election.start();
  await election.waitForLeadership({ timeout: 5000 });
  await election.stop();
  expect(election.state).toBe('stopped');
  const refused = new Election({ servers: 'nats://127.0.0.1:1', bucket: 'own', group: 'g', instanceId: 'a' });
  await expect(refused.start()).rejects.toMatchObject({ code: 'NATS_UNREACHABLE' });
});
