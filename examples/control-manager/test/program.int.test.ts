import { systemEnv } from '@canopy/core';
import { FencedKey } from '@canopy/election';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { type ChildNode, eventually, spawnNode, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

const MAIN = new URL('../src/main.ts', import.meta.url);
let nats: TestNatsServer;
let session: NatsSession;
let desired: Kv;
let replicas: FencedKey;
beforeAll(async () => {
  nats = await testNatsServer();
  session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
  desired = await session.ensureKv('desired');
  replicas = new FencedKey(await session.ensureKv('actual'), 'replicas');
});
afterAll(async () => {
  await session?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function start(id: string): Promise<ChildNode> {
  const child = await spawnNode(MAIN, ['--server', nats.url, '--id', id, '--ttl', '1500ms']);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}
const wish = (key: string, value: number) => desired.put(key, new TextEncoder().encode(String(value)));
const epochOf = (line: string): number => Number(/epoch (\d+)/.exec(line)?.[1]);

describe('control-manager', () => {
  it('reconciles in one of two; killed in the middle, the other finishes under a higher epoch', async () => {
    await wish('replicas', 30);
    const a = await start('a');
    const first = epochOf(await a.line(/manages under epoch/));
    const b = await start('b');
    await a.line(/replicas: 4 -> 5/);
    await a.kill();
    const second = epochOf(await b.line(/manages under epoch/));
    expect(second).toBeGreaterThan(first);
    const value = async () => new TextDecoder().decode((await replicas.read())?.value);
    await eventually(async () => (await value()) === '30', { timeoutMs: 20_000 });
    // Every step once: the second went on where the first was.
    const steps = [...a.lines, ...b.lines].flatMap((line) => /-> (\d+) under/.exec(line)?.[1] ?? []).map(Number);
    expect(steps).toEqual([...new Set(steps)].sort((x, y) => x - y));
    // What the first would still have liked to write.
    await expect(replicas.write(first, new Uint8Array())).rejects.toMatchObject({ code: 'ELECTION_EPOCH_STALE' });
    b.signal('SIGTERM');
    expect((await b.exited).code, b.output).toBe(0);
  });
});
