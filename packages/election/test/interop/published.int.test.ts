/**
 * What the published library has beyond the plain lease: priorities, its unconditional deletion, and the bytes that it
 * writes, which the recorded fixtures must equal. Skipped, with the reason, where it can't be built.
 *
 * What is excluded: a challenger of the library leads from the moment of its write on, without waiting for the lease that it
 * overwrote. Ours stop as soon as they hear of it (NOTICED), and no longer overlap is let pass. One of the library's that has
 * lost its lease and has not noticed (LINGERS) still deletes the key on a stop: ours then end that term.
 */
import { readFileSync } from 'node:fs';
import { systemClock } from '@canopy/core';
import {
  eventually,
  type LeadershipViolation,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { decodeLease } from '../../src/index.ts';
import { type Built, buildGoProgram } from './go-program.ts';
import { HEARTBEAT, type Member, MixedGroup, TTL } from './mixed-group.ts';

/** In which one of ours has heard by its watch that the key is another's; mostly some milliseconds. */
const NOTICED = HEARTBEAT;

let nats: TestNatsServer;
let workspace: TemporaryDirectory;
let built: Built;
beforeAll(async () => {
  nats = await testNatsServer();
  workspace = await temporaryDirectory('interop');
  built = await buildGoProgram('published', workspace.path);
}, 150_000);
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await workspace?.remove();
});

let buckets = 0;
async function openGroup(skip: (why: string) => void): Promise<MixedGroup> {
  const group = await MixedGroup.open(`published-${++buckets}`, nats, built, [String(TTL), String(HEARTBEAT)], skip);
  onTestFinished(() => group[Symbol.asyncDispose]());
  return group;
}

const overlapMs = (violation: LeadershipViolation): number =>
  violation.type === 'overlap' ? violation.overlapMs : Number.POSITIVE_INFINITY;

describe('priorities', () => {
  it('ours overwrites a lower lease of theirs, and leads only when theirs has noticed', async ({ skip }) => {
    const group = await openGroup(skip);
    const lower = await group.theirs(['5', 'takeover']);
    await group.led(lower);
    const higher = await group.ours({ priority: 10, allowPriorityTakeover: true });
    await group.led(higher);
    // Its own flag to take over is of no use to it against a higher priority.
    await systemClock.sleep(TTL);
    expect(group.terms()).toEqual([lower.id, higher.id]);
    await higher.process.kill();
    await group.leadsNow(lower);
    expect(group.terms()).toEqual([lower.id, higher.id, lower.id]);
    expect(group.recorder.violations()).toEqual([]);
  });

  it('ours leaves a lease of theirs alone that is as high, or when it was not allowed to', async ({ skip }) => {
    const group = await openGroup(skip);
    const holder = await group.theirs(['5']);
    await group.led(holder);
    await group.ours({ priority: 5, allowPriorityTakeover: true });
    await group.ours({ priority: 9 });
    await systemClock.sleep(1.5 * TTL);
    expect(group.terms()).toEqual([holder.id]);
    await group.leadsNow(holder, 1000);
  });

  it.for([
    ['a lease of ours', true],
    ['one that says that it is firm, which they do not read', false],
  ] as const)('theirs overwrites %s; ours stops at once and writes no more', async ([, preemptible], { skip }) => {
    const group = await openGroup(skip);
    const lower = await group.ours({ priority: 1, preemptible });
    await group.led(lower);
    const higher = await group.theirs(['10', 'takeover']);
    await group.led(higher);
    await systemClock.sleep(TTL);
    for (const violation of group.recorder.violations()) expect(overlapMs(violation)).toBeLessThan(NOTICED);
    expect(group.terms()).toEqual([lower.id, higher.id]);
    await group.leadsNow(higher, 1000);
    await higher.process.kill();
    await group.leadsNow(lower);
    expect(group.terms()).toEqual([lower.id, higher.id, lower.id]);
  });

  it('a value of ours with a priority is read by theirs, which keeps away', async ({ skip }) => {
    const group = await openGroup(skip);
    const higher = await group.ours({ priority: 20 });
    await group.led(higher);
    const lower = await group.theirs(['10', 'takeover']);
    await lower.process.line(new RegExp(`^sees ${higher.id}$`));
    await systemClock.sleep(TTL);
    expect(group.terms()).toEqual([higher.id]);
    higher.process.signal('SIGTERM');
    await group.led(lower, TTL);
    expect(group.recorder.violations()).toEqual([]);
  });
});

describe('a deletion without a condition', () => {
  it('by one whose lease ours had overwritten takes that from us, and we begin when its own has ended', async ({
    skip,
  }) => {
    const group = await openGroup(skip);
    const other = await group.theirs(['5']);
    await group.led(other);
    const mine = await group.ours({ priority: 10, allowPriorityTakeover: true });
    const isOurs = async () => decodeLease((await group.kv.get('g'))?.value ?? new Uint8Array())?.id === mine.id;
    await eventually(isOurs, { what: 'the overwritten lease' });
    const seenAt = systemClock.monotonic();
    const revision = (await group.kv.get('g'))?.revision as number;
    // It takes three refused renewals to notice, so it stops as a leader.
    other.process.signal('SIGTERM');
    await group.led(mine);
    const [, term] = group.recorder.history().sort((a, b) => a.fromMs - b.fromMs);
    // Not the term of that write: its key was deleted meanwhile.
    expect(term?.epoch).toBeGreaterThan(revision + 1);
    expect(term?.fromMs).toBeGreaterThan(seenAt + TTL - 3 * HEARTBEAT);
    expect(group.terms()).toEqual([other.id, mine.id]);
    expect(group.recorder.violations()).toEqual([]);
  });

  /** Its deletion comes, or is lost on a connection that the server closed meanwhile: both are met here. */
  it('by one that woke and stopped ends our term at most, never the order of the epochs', async ({ skip }) => {
    const group = await openGroup(skip);
    const other = await group.theirs();
    await group.led(other);
    const mine = await group.ours();
    const stopped = systemClock.monotonic();
    other.process.signal('SIGSTOP');
    await group.led(mine);
    const woken = systemClock.monotonic();
    other.process.signal('SIGTERM');
    other.process.signal('SIGCONT');
    await other.process.exited;
    await group.leadsNow(mine);
    expect(new Set(group.terms().slice(1))).toEqual(new Set([mine.id]));
    group.expectOnlyLingering(other, mine, stopped, woken);
  });
});

interface Recording {
  readonly module: string;
  readonly fixtures: readonly {
    readonly name: string;
    readonly operation: string;
    readonly value: string;
    /** How the library was configured when it wrote the value; absent: no value of the library's. */
    readonly recorded?: { readonly id: string; readonly args: readonly string[] };
  }[];
}

describe('the recorded fixtures', () => {
  const path = new URL('../fixtures/go-wire.json', import.meta.url);
  const { module, fixtures } = JSON.parse(readFileSync(path, 'utf8')) as Recording;
  const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

  it('are of the version that is built here', () => {
    const [path, version] = module.split(' ');
    expect(readFileSync(new URL('./published/go.mod', import.meta.url), 'utf8')).toContain(`\t${path} ${version}\n`);
  });

  it.for(fixtures.filter(({ recorded }) => recorded !== undefined))('$name', async (fixture, { skip }) => {
    const group = await openGroup(skip);
    const { id, args } = fixture.recorded as { id: string; args: readonly string[] };
    const member: Member = await group.theirs(args, id);
    await group.led(member);
    if (fixture.operation === 'put') {
      const acquired = await group.kv.get('g');
      const text = new TextDecoder().decode(acquired?.value);
      expect(text.replace(UUID, 'TOKEN')).toBe(fixture.value.replace(UUID, 'TOKEN'));
      expect(text).toContain('"token"');
      await eventually(async () => (await group.kv.get('g'))?.revision !== acquired?.revision, { what: 'a renewal' });
      expect((await group.kv.get('g'))?.value).toEqual(acquired?.value);
    } else {
      const ended = new AbortController();
      onTestFinished(() => ended.abort());
      const seen: string[] = [];
      void (async () => {
        for await (const event of group.kv.watch('g', { signal: ended.signal }))
          if (event.type === 'entry') seen.push(`${event.entry.operation} ${event.entry.value.length}`);
      })().catch(() => {});
      await eventually(() => seen.length > 0, { what: 'the watch' });
      member.process.signal('SIGTERM');
      await eventually(() => seen.includes('delete 0'), { what: 'the marker of the deletion', timeoutMs: TTL / 2 });
    }
  });
});
