/**
 * A group of ours and of Go programs on one bucket, with either side killed and stopped. Once with a peer of our own that
 * knows only the wire form, once with the published library; each skipped, with the reason, where it can't be built.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import {
  ChildNode,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Recorder } from '../faults/recorder.ts';
import { type Built, buildGoProgram } from './go-program.ts';

/**
 * A peer without a deadline of its own says that it leads for up to heartbeat + 3 s after its last renewal: the bucket must
 * not drop the key before that.
 */
const HEARTBEAT = 300;
const TTL = 4000;
const PUBLISHED = 'github.com/ali-assar/NATS-Leader-Election/leader@latest';

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

class MixedGroup {
  readonly recorder: Recorder;
  readonly #binary: string;
  readonly #goArgs: readonly string[];
  #count = 0;

  constructor(bucket: string, binary: string, goArgs: readonly string[]) {
    this.recorder = new Recorder(bucket, TTL);
    this.#binary = binary;
    this.#goArgs = goArgs;
  }

  ours(): Promise<ChildNode> {
    return this.recorder.candidate(`ts-${++this.#count}`, [nats.url]);
  }

  async theirs(): Promise<ChildNode> {
    const id = `go-${++this.#count}`;
    const process = spawn(this.#binary, [nats.url, this.recorder.bucket, id, ...this.#goArgs]);
    await once(process, 'spawn');
    const child = new ChildNode(process);
    this.recorder.add(id, child);
    await child.line(/^started/);
    return child;
  }
}

const leads = (child: ChildNode, timeoutMs = 3 * TTL): Promise<string> => child.line(/^lead/, { timeoutMs });

/** Ours, theirs, ours…: each leads because the one before it was killed, or stopped. */
async function takeTurns(group: MixedGroup): Promise<void> {
  const first = await group.ours();
  await leads(first);
  const second = await group.theirs();
  await first.kill();
  await leads(second);
  const third = await group.ours();
  await second.kill();
  await leads(third);
  const fourth = await group.theirs();
  third.signal('SIGTERM');
  // A deleted key is no lease to wait for.
  await leads(fourth, TTL);
  const fifth = await group.ours();
  fourth.signal('SIGTERM');
  await leads(fifth, TTL);
  const { recorder } = group;
  expect(recorder.history().map(({ holder }) => holder)).toEqual(['ts-1', 'go-2', 'ts-3', 'go-4', 'ts-5']);
  expect(recorder.violations()).toEqual([]);
}

/** Several of each at once; whoever leads is killed, again and again. */
async function fight(group: MixedGroup): Promise<void> {
  const { recorder } = group;
  const alive = new Map<string, ChildNode>();
  for (const make of ['ours', 'theirs', 'ours', 'theirs'] as const) {
    const child = await group[make]();
    alive.set([...recorder.ids()].at(-1) as string, child);
  }
  for (let i = 0; i < 3; i++) {
    const leader = await recorder.led({ timeoutMs: 3 * TTL });
    expect(alive.has(leader)).toBe(true);
    await alive.get(leader)?.kill();
    alive.delete(leader);
  }
  expect(recorder.violations()).toEqual([]);
  expect(recorder.history().length).toBeGreaterThanOrEqual(3);
}

async function mixedGroup(bucket: string, built: Built, goArgs: readonly string[], skip: (why: string) => void) {
  if (built.binary === undefined) skip(built.reason);
  await using session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
  await session.ensureKv(bucket, { ttlMs: TTL });
  const group = new MixedGroup(bucket, built.binary as string, goArgs);
  onTestFinished(() => group.recorder[Symbol.asyncDispose]());
  return group;
}

describe('with a Go peer of the wire form', () => {
  let built: Built;
  beforeAll(async () => {
    built = await buildGoProgram('peer', workspace.path);
  });
  const args = [String(HEARTBEAT)];
  it('takes turns', async ({ skip }) => takeTurns(await mixedGroup('peer-turns', built, args, skip)));
  it('fights', async ({ skip }) => fight(await mixedGroup('peer-fight', built, args, skip)));
});

describe('with the published Go library', () => {
  let built: Built;
  beforeAll(async () => {
    built = await buildGoProgram('published', workspace.path, [PUBLISHED]);
  });
  const args = [String(TTL), String(HEARTBEAT)];
  it('takes turns', async ({ skip }) => takeTurns(await mixedGroup('published-turns', built, args, skip)));
  it('fights', async ({ skip }) => fight(await mixedGroup('published-fight', built, args, skip)));
});
