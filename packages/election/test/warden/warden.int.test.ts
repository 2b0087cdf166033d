import { existsSync } from 'node:fs';
import {
  identifyProcess,
  isGroupGone,
  isRunning,
  markOf,
  type ProcessId,
  processesWithMark,
  systemClock,
} from '@canopy/core';
import { cpuOf, eventually, memoryOf } from '@canopy/testkit';
import { describe, expect, test } from 'vitest';
import { deletion, goneGroup, KEY, rig } from './rig.ts';

const note = (text: string): void => void process.stdout.write(`${text}\n`);
const ms = (from: number, to: number): string => `${(to - from).toFixed(1)} ms`;

describe('the parent dies', () => {
  test('its processes are killed, strays included, the others drained, and only then is the lease released', async () => {
    await using r = await rig();
    const parent = await r.parent();
    const mark = markOf(parent.kill.pid) as string;
    await eventually(() => processesWithMark(mark).length === 3, { what: 'the stray' });
    const stop = new AbortController();
    let leftAtDeletion: readonly boolean[] = [];
    const deleted = deletion(r.kv, stop.signal, () => {
      leftAtDeletion = [isGroupGone(parent.kill), isGroupGone(parent.drain), processesWithMark(mark).length === 0];
    });
    const begun = systemClock.monotonic();
    parent.node.signal('SIGKILL');
    const killed = await goneGroup(parent.kill);
    const at = await deleted;
    stop.abort();
    expect(leftAtDeletion).toEqual([true, true, true]);
    expect(existsSync(parent.drained)).toBe(true);
    note(`after SIGKILL: killed in ${ms(begun, killed)}, released in ${ms(begun, at)} (200 ms of it draining)`);
    await eventually(() => !isRunning(parent.warden), { what: 'the end of the warden' });
  });

  test('a drain that takes too long is cut', async () => {
    await using r = await rig();
    const parent = await r.parent({ drainMs: 20 });
    parent.node.signal('SIGKILL');
    await eventually(async () => (await r.kv.get(KEY)) === undefined, { what: 'the release' });
    expect(isGroupGone(parent.drain)).toBe(true);
    expect(existsSync(parent.drained)).toBe(false);
  });

  test('somebody else has the lease by now: theirs stays', async () => {
    await using r = await rig();
    const parent = await r.parent({ token: 'token-1' });
    const theirs = new TextEncoder().encode(JSON.stringify({ id: 'n2', token: 'token-2' }));
    const revision = await r.kv.update(KEY, theirs, r.revision);
    parent.node.signal('SIGKILL');
    await eventually(() => !isRunning(parent.warden), { what: 'the end of the warden' });
    expect((await r.kv.get(KEY))?.revision).toBe(revision);
  });

  test('a renewal that nobody heard of is followed by its token', async () => {
    await using r = await rig();
    const parent = await r.parent({ token: 'token-1' });
    const present = await r.kv.get(KEY);
    await r.kv.update(KEY, present?.value as Uint8Array, r.revision);
    parent.node.signal('SIGKILL');
    await eventually(() => !isRunning(parent.warden), { what: 'the end of the warden' });
    expect(await r.kv.get(KEY)).toBeUndefined();
  });

  test('signals to the warden do not end it before its parent', async () => {
    await using r = await rig();
    const parent = await r.parent();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(parent.warden.pid, signal);
    parent.node.signal('SIGKILL');
    await eventually(async () => (await r.kv.get(KEY)) === undefined, { what: 'the release' });
  });
});

describe('the parent freezes', () => {
  test('past the deadline its processes are killed, drained ones are not, and the lease is not released', async () => {
    await using r = await rig();
    const parent = await r.parent({ leaseMs: 800 });
    const frozen = systemClock.monotonic();
    parent.node.signal('SIGSTOP');
    const killed = await goneGroup(parent.kill);
    // The last renewal was at most the freeze's own time: the deadline lies within leaseMs of it.
    expect(killed - frozen).toBeLessThan(800 + 300);
    expect(isGroupGone(parent.drain)).toBe(false);
    parent.node.signal('SIGCONT');
    const fenced = await parent.says('fenced');
    expect(fenced).toMatchObject({ lease: 'shop', killed: ['kill'], gone: true });
    expect(fenced.lateMs).toBeLessThan(200);
    note(
      `frozen: killed ${Number(fenced.lateMs).toFixed(1)} ms after the deadline, gone ${Number(fenced.ms).toFixed(1)} ms later`,
    );
    expect((await r.kv.get(KEY))?.revision).toBe(r.revision);
  });
});

describe('the warden dies', () => {
  test('another takes over everything', async () => {
    await using r = await rig();
    const parent = await r.parent();
    process.kill(parent.warden.pid, 'SIGKILL');
    const begun = systemClock.monotonic();
    await parent.says('exited');
    const second = identifyProcess((await parent.says('started')).pid as number) as ProcessId;
    note(`another warden after ${ms(begun, systemClock.monotonic())}`);
    expect(second.pid).not.toBe(parent.warden.pid);
    expect(isGroupGone(parent.kill)).toBe(false);
    // The first renewal that it confirms comes after its registrations.
    await systemClock.sleep(300);
    parent.node.signal('SIGKILL');
    await eventually(async () => (await r.kv.get(KEY)) === undefined, { what: 'the release' });
    expect(isGroupGone(parent.kill)).toBe(true);
    await eventually(() => !isRunning(second), { what: 'the end of the second warden' });
  });
});

test('an idle warden is small and quiet', async () => {
  await using r = await rig();
  const first = await r.parent({ renewMs: 60_000, leaseMs: 120_000 });
  const parent = await r.parent({ renewMs: 60_000, leaseMs: 120_000 });
  expect(isRunning(first.warden)).toBe(true);
  const before = cpuOf(parent.warden.pid)?.totalMs as number;
  await systemClock.sleep(3000);
  const used = (cpuOf(parent.warden.pid)?.totalMs as number) - before;
  const { rssAnonKb } = memoryOf(parent.warden.pid) as { rssAnonKb: number };
  note(`idle warden: RssAnon ${(rssAnonKb / 1024).toFixed(1)} MiB, ${used} ms of CPU in 3 s`);
  expect(rssAnonKb).toBeLessThan(25 * 1024);
  expect(used).toBeLessThanOrEqual(60);
});
