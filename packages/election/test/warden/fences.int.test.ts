/** When fence commands of an election's own warden run, and when they must not: real processes, real server. */
import { existsSync, readFileSync } from 'node:fs';
import { isRunning, type ProcessId, systemClock, systemEnv } from '@canopy/core';
import {
  eventually,
  processTree,
  spawnNode,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Election, type ElectionOptions } from '../../src/index.ts';

const HOLDER = new URL('./fixtures/holder.ts', import.meta.url);
let stack: AsyncDisposableStack;
let nats: TestNatsServer;
let buckets = 0;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  nats = stack.use(await testNatsServer());
});
afterAll(() => stack?.disposeAsync());

async function fencePath(): Promise<string> {
  const directory = await temporaryDirectory('fences');
  onTestFinished(() => directory.remove());
  return `${directory.path}/fenced`;
}

async function started(bucket: string, instanceId: string, options: Partial<ElectionOptions> = {}): Promise<Election> {
  const { connection } = nats;
  const election = new Election({ connection, bucket, group: 'g', instanceId, ttl: 2000, ...options }, systemEnv());
  onTestFinished(() => election.stop());
  await election.start();
  return election;
}

function wardens(pid: number): ProcessId[] {
  const isWarden = (id: ProcessId): boolean => {
    try {
      return readFileSync(`/proc/${id.pid}/cmdline`, 'latin1').includes('warden/main');
    } catch {
      return false;
    }
  };
  return processTree(pid).filter(isWarden);
}

test('the stop of a leader, and that of a follower, run no fence', async () => {
  const bucket = `fences-${++buckets}`;
  const done = await fencePath();
  const warden = { fence: [{ command: ['touch', done] }] };
  const leader = await started(bucket, 'leader', { warden });
  await leader.waitForLeadership({ timeout: 10_000 });
  const follower = await started(bucket, 'follower', { warden });
  const both = wardens(process.pid);
  expect(both).toHaveLength(2);
  await follower.stop();
  await leader.stop();
  await eventually(() => !both.some(isRunning), { what: 'the end of both wardens' });
  expect(existsSync(done)).toBe(false);
});

test('the death of a follower runs no fence', async () => {
  const bucket = `fences-${++buckets}`;
  const done = await fencePath();
  const leader = await started(bucket, 'leader');
  await leader.waitForLeadership({ timeout: 10_000 });
  const { connection } = nats;
  const given = { connection, bucket, id: 'follower', ttlMs: 2000, fence: [{ command: ['touch', done] }] };
  const node = await spawnNode(HOLDER, [JSON.stringify(given)]);
  onTestFinished(() => node[Symbol.asyncDispose]());
  await node.line((line) => line.includes('"started"'), { timeoutMs: 30_000 });
  const [warden] = wardens(node.pid);
  node.signal('SIGKILL');
  await eventually(() => !isRunning(warden as ProcessId), { what: 'the end of the warden' });
  expect([existsSync(done), leader.isLeader]).toEqual([false, true]);
});

test('a stop keeps its bound although the fence of a lease that is still held takes longer, and that goes on', async () => {
  const done = await fencePath();
  const fence = [{ command: ['/bin/sh', '-c', `sleep 1.2; touch ${done}`] }];
  const leader = await started(`fences-${++buckets}`, 'leader', { warden: { fence } });
  leader.onDemote(() => new Promise(() => {}));
  await leader.waitForLeadership({ timeout: 10_000 });
  const [warden] = wardens(process.pid);
  const begun = systemClock.monotonic();
  await leader.stop({ timeout: 200 });
  expect(systemClock.monotonic() - begun).toBeLessThan(900);
  expect(isRunning(warden as ProcessId)).toBe(true);
  await eventually(() => existsSync(done), { what: 'the end of the fence' });
  await eventually(() => !isRunning(warden as ProcessId), { what: 'the end of the warden' });
});

test('a warden that was frozen past the deadline fences as it wakes, and the leader steps down', async () => {
  const done = await fencePath();
  const leader = await started(`fences-${++buckets}`, 'leader', { warden: { fence: [{ command: ['touch', done] }] } });
  const { epoch, signal } = await leader.waitForLeadership({ timeout: 10_000 });
  const [warden] = wardens(process.pid);
  process.kill((warden as ProcessId).pid, 'SIGSTOP');
  // Past the last deadline that it heard of, and before its silence alone would end the term.
  await systemClock.sleep(1850);
  process.kill((warden as ProcessId).pid, 'SIGCONT');
  await eventually(() => signal.aborted, { timeoutMs: 3000, what: 'the end of the fenced term' });
  expect(signal.reason).toMatchObject({ fields: { reason: 'warden_lost' } });
  await eventually(() => existsSync(done), { what: 'the fence' });
  // It stands again, under another term.
  expect((await leader.waitForLeadership({ timeout: 15_000 })).epoch).toBeGreaterThan(epoch);
});
