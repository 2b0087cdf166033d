/**
 * A group of ours and of Go programs on one bucket, with either side killed, stopped and frozen. Once with a peer of our own
 * that knows only the wire form, once with the published library; each skipped, with the reason, where it can't be built.
 *
 * What is excluded: neither of them has a deadline of its own, so one that was frozen for longer than the lease says that it
 * leads until three of its renewals were refused (LINGERS). Overlaps of such a holder within that time are expected, and
 * checked to be that and no more; what guards data meanwhile is the epoch. Ours are excluded from nothing.
 */
import { systemClock } from '@canopy/core';
import { type TemporaryDirectory, type TestNatsServer, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { decodeLease, requestStepDown } from '../../src/index.ts';
import { type Built, buildGoProgram } from './go-program.ts';
import { HEARTBEAT, LINGERS, type Member, MixedGroup, TTL } from './mixed-group.ts';

let nats: TestNatsServer;
let workspace: TemporaryDirectory;
beforeAll(async () => {
  nats = await testNatsServer();
  workspace = await temporaryDirectory('interop');
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await workspace?.remove();
});

/** Ours, theirs, ours…: each leads because the one before it was killed, or stopped. */
async function takeTurns(group: MixedGroup): Promise<void> {
  const first = await group.ours();
  await group.led(first);
  const second = await group.theirs();
  await first.process.kill();
  await group.led(second);
  const third = await group.ours();
  await second.process.kill();
  await group.led(third);
  const fourth = await group.theirs();
  third.process.signal('SIGTERM');
  // A deleted key is no lease to wait for.
  await group.led(fourth, TTL);
  const fifth = await group.ours();
  fourth.process.signal('SIGTERM');
  await group.led(fifth, TTL);
  expect(group.terms()).toEqual(['ts-1', 'go-2', 'ts-3', 'go-4', 'ts-5']);
  expect(group.recorder.violations()).toEqual([]);
}

/** Several of each at once; whoever leads is killed, again and again. */
async function fight(group: MixedGroup): Promise<void> {
  const { recorder } = group;
  const alive = new Map<string, Member>();
  for (const make of ['ours', 'theirs', 'ours', 'theirs'] as const) {
    const member = await group[make]();
    alive.set(member.id, member);
  }
  for (let i = 0; i < 3; i++) {
    const leader = await recorder.led({ timeoutMs: 3 * TTL });
    expect(alive.has(leader)).toBe(true);
    await alive.get(leader)?.process.kill();
    alive.delete(leader);
  }
  expect(recorder.violations()).toEqual([]);
  expect(recorder.history().length).toBeGreaterThanOrEqual(3);
}

/** One of ours wakes after two leases: from its first answer on it says that it does not lead. */
async function freezeOurs(group: MixedGroup): Promise<void> {
  const mine = await group.ours();
  await group.led(mine);
  const other = await group.theirs();
  mine.process.signal('SIGSTOP');
  await group.led(other);
  await systemClock.sleep(TTL);
  mine.process.signal('SIGCONT');
  await systemClock.sleep(TTL);
  expect(group.terms()).toEqual(['ts-1', 'go-2']);
  await group.leadsNow(other, 1000);
  await other.process.kill();
  await group.leadsNow(mine);
  expect(group.terms()).toEqual(['ts-1', 'go-2', 'ts-1']);
  expect(group.recorder.violations()).toEqual([]);
}

/** One of theirs wakes after the lease: it may say so for a while, but takes nothing from ours, and stands again. */
async function freezeTheirs(group: MixedGroup): Promise<void> {
  const { recorder } = group;
  const other = await group.theirs();
  await group.led(other);
  const mine = await group.ours();
  const stopped = systemClock.monotonic();
  other.process.signal('SIGSTOP');
  await group.led(mine);
  await systemClock.sleep(1000);
  const woken = systemClock.monotonic();
  other.process.signal('SIGCONT');
  await systemClock.sleep(LINGERS + TTL);
  group.expectOnlyLingering(other, mine, stopped, woken);
  expect(group.terms()).toEqual([other.id, mine.id]);
  await group.leadsNow(mine, 1000);
  await mine.process.kill();
  await group.leadsNow(other);
  const [, held, again] = recorder.history().sort((a, b) => a.fromMs - b.fromMs);
  expect(again?.fromMs).toBeGreaterThan(held?.toMs as number);
  expect(again?.epoch).toBeGreaterThan(held?.epoch as number);
}

/** A step-down deletes the key, so theirs take it at once. */
async function stepDown(group: MixedGroup): Promise<void> {
  const mine = await group.ours();
  await group.led(mine);
  const other = await group.theirs();
  const asked = await requestStepDown(group.session, { bucket: group.kv.bucket, group: 'g' });
  expect(asked.from).toBe(mine.id);
  await group.led(other, TTL / 2);
  await systemClock.sleep(TTL);
  expect(group.terms()).toEqual([mine.id, other.id]);
  expect(group.recorder.violations()).toEqual([]);
}

/** They can't read whom a lease is handed to: with a rest above the ttl it reaches them by expiry. */
async function handOff(group: MixedGroup): Promise<void> {
  const mine = await group.ours({ holdOff: 2 * TTL });
  await group.led(mine);
  const other = await group.theirs();
  await requestStepDown(group.session, { bucket: group.kv.bucket, group: 'g', to: other.id });
  const entry = await group.kv.get('g');
  expect(decodeLease(entry?.value ?? new Uint8Array())).toMatchObject({ released: true, next: other.id });
  await group.led(other, TTL + 2000);
  expect(group.terms()).toEqual([mine.id, other.id]);
  expect(group.recorder.violations()).toEqual([]);
}

const SCENARIOS: readonly [string, (group: MixedGroup) => Promise<void>][] = [
  ['takes turns', takeTurns],
  ['fights', fight],
  ['outlasts a freeze of ours', freezeOurs],
  ['outlasts a freeze of theirs', freezeTheirs],
  ['steps down to theirs', stepDown],
  ['hands off to theirs', handOff],
];

describe.each([
  ['a Go peer of the wire form', 'peer', [String(HEARTBEAT)]],
  ['the published Go library', 'published', [String(TTL), String(HEARTBEAT)]],
] as const)('a group shared with %s', (_, program, args) => {
  let built: Built;
  beforeAll(async () => {
    built = await buildGoProgram(program, workspace.path);
  }, 150_000);

  it.for(SCENARIOS)('%s', async ([name, scenario], { skip }) => {
    const bucket = `${program}-${name.replaceAll(' ', '-')}`;
    const group = await MixedGroup.open(bucket, nats, built, args, skip);
    onTestFinished(() => group[Symbol.asyncDispose]());
    await scenario(group);
  });
});
