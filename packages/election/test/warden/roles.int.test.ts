/** One warden for the roles of a manager, among real processes: each role's fence, and when its lease moves. */
import { existsSync, readFileSync } from 'node:fs';
import { systemClock, systemEnv } from '@canopy/core';
import {
  type ChildNode,
  eventually,
  processTree,
  spawnNode,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { RoleManager } from '../../src/index.ts';

const HOLDER = new URL('./fixtures/roles-holder.ts', import.meta.url);
let nats: TestNatsServer;
let directory: TemporaryDirectory;
let buckets = 0;

beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await temporaryDirectory('roles');
  onTestFinished(() => directory.remove());
});

const groupsOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `g${i}`);
const wardensOf = (node: ChildNode) => processTree(node.pid).filter(({ pid }) => isWarden(pid));
const isWarden = (pid: number): boolean => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('warden/main');
const rssAnonMb = (pid: number): number =>
  Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

async function holder(groups: readonly string[], ttlMs: number): Promise<{ node: ChildNode; bucket: string }> {
  const bucket = `roles-${++buckets}`;
  const given = { connection: nats.connection, bucket, ttlMs, groups, directory: directory.path };
  const node = await spawnNode(HOLDER, [JSON.stringify(given)]);
  onTestFinished(() => node[Symbol.asyncDispose]());
  await node.line(/^leads all/, { timeoutMs: 60_000 });
  return { node, bucket };
}

/** Stands for the same groups, and notes for each whether its fence had run when it was led here. */
async function successor(bucket: string, groups: readonly string[], ttl: number) {
  const roles = new RoleManager({ connection: nats.connection, bucket, instanceId: 'next', ttl }, systemEnv());
  onTestFinished(() => roles.stop());
  await roles.start();
  const fenced = new Map<string, boolean>();
  const fileOf = (group: string): string => `${directory.path}/${group === groups.at(-1) ? 'common' : group}`;
  const add = (group: string) =>
    roles.add(group, {}, (election) => election.onPromote(() => void fenced.set(group, existsSync(fileOf(group)))));
  await Promise.all(groups.map(add));
  return { roles, fenced };
}

test('kill -9 of a process that leads fifty groups: each is fenced, and led by another long before the ttl', async () => {
  const groups = groupsOf(50);
  const ttl = 10_000;
  const { node, bucket } = await holder(groups, ttl);
  expect(wardensOf(node)).toHaveLength(1);
  const { roles, fenced } = await successor(bucket, groups, ttl);
  expect(roles.leading).toEqual([]);
  const begun = systemClock.monotonic();
  node.signal('SIGKILL');
  await eventually(() => roles.leading.length === 50, { what: 'fifty groups led', timeoutMs: 30_000 });
  const tookMs = systemClock.monotonic() - begun;
  expect(tookMs).toBeLessThan(ttl / 2);
  expect([...fenced.values()].every(Boolean)).toBe(true);
  process.stdout.write(`50 groups moved ${tookMs.toFixed(0)} ms after a SIGKILL, lease ${ttl} ms\n`);
}, 90_000);

test('a process that is stopped for longer than its leases is fenced in each, and leads none when it wakes', async () => {
  const groups = groupsOf(20);
  const { node, bucket } = await holder(groups, 2000);
  const { roles, fenced } = await successor(bucket, groups, 2000);
  node.signal('SIGSTOP');
  await eventually(() => roles.leading.length === 20, { what: 'twenty groups led', timeoutMs: 30_000 });
  expect([...fenced.values()].every(Boolean)).toBe(true);
  node.signal('SIGCONT');
  await node.line(/^leading 0$/, { timeoutMs: 10_000 });
  expect(roles.leading).toHaveLength(20);
}, 90_000);

test('a warden of 500 leases is small; killed, it is replaced, and nothing is lost', async () => {
  const groups = groupsOf(500);
  const { node } = await holder(groups, 10_000);
  const [warden] = wardensOf(node);
  await systemClock.sleep(3000);
  const mb = rssAnonMb(warden?.pid as number);
  process.stdout.write(`a warden of 500 leases: ${mb.toFixed(1)} MB RssAnon\n`);
  expect(mb).toBeLessThan(40);
  process.kill(warden?.pid as number, 'SIGKILL');
  await eventually(() => wardensOf(node).some(({ pid }) => pid !== warden?.pid), {
    what: 'another warden',
    timeoutMs: 20_000,
  });
  await systemClock.sleep(500);
  expect(node.output.trimEnd().split('\n').at(-1)).toBe('leading 500');
}, 120_000);
