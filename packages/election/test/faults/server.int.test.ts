/** One server that goes away and comes back: with its data, and with none. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Recorder } from './recorder.ts';

const TTL = 1500;
const BUCKET = 'elections';

let stack: AsyncDisposableStack;
let nats: TestNatsServer;
let recorder: Recorder;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  nats = stack.use(await testNatsServer());
  recorder = stack.use(new Recorder(BUCKET, TTL));
  for (const id of ['a', 'b']) await recorder.candidate(id, [nats.url]);
});
afterAll(() => stack?.disposeAsync());

describe('a server that dies', () => {
  it('and is back with its data after more than a lease: somebody leads again, under a higher epoch', async () => {
    await recorder.led();
    await nats.server.kill();
    await systemClock.sleep(TTL * 1.5);
    expect(recorder.leader()).toBeUndefined();
    await nats.server.restart();
    await recorder.led();
    expect(recorder.violations()).toEqual([]);
    expect(new Set(recorder.history().map(({ epoch }) => epoch)).size).toBeGreaterThanOrEqual(2);
  });

  it('and is back with none, the bucket made anew: those who knew the old epochs go on above them', async () => {
    // Long enough for both to have seen the present term.
    await systemClock.sleep(TTL);
    const before = Math.max(...recorder.history().map(({ epoch }) => epoch));
    await nats.server.kill();
    await rm(join(nats.server.dataDir, 'jetstream'), { recursive: true });
    await nats.server.restart();
    await using session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
    const kv = await session.ensureKv(BUCKET, { ttlMs: TTL });
    expect((await kv.info()).lastRevision).toBeLessThan(before);
    const highest = (): number => Math.max(...recorder.history().map(({ epoch }) => epoch));
    await eventually(() => highest() > before, { timeoutMs: 15_000, what: `an epoch above ${before}` });
    expect(recorder.violations()).toEqual([]);
    // A newcomer, who knew nothing, takes over later and learns them from the lease.
    await recorder.candidate('c', [nats.url]);
    await systemClock.sleep(TTL);
    for (const id of ['a', 'b']) await recorder.process(id).kill();
    await eventually(() => recorder.history().some(({ holder }) => holder === 'c'), { timeoutMs: 15_000 });
    expect(recorder.violations()).toEqual([]);
  });

  it('and is back with none while nobody lives: the bucket that is made then begins above all earlier epochs', async () => {
    const before = Math.max(...recorder.history().map(({ epoch }) => epoch));
    await recorder.process('c').kill();
    await nats.server.kill();
    await rm(join(nats.server.dataDir, 'jetstream'), { recursive: true });
    await systemClock.sleep(TTL);
    await nats.server.restart();
    await recorder.candidate('d', [nats.url]);
    await eventually(() => recorder.history().some(({ holder }) => holder === 'd'), { timeoutMs: 15_000 });
    const after = recorder.history().filter(({ holder }) => holder === 'd');
    expect(Math.min(...after.map(({ epoch }) => epoch))).toBeGreaterThan(before);
    expect(recorder.violations()).toEqual([]);
  });
});
