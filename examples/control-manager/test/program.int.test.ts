import { systemEnv } from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { type ChildNode, eventually, spawnNode, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { FencedShelf } from '../src/fenced-shelf.ts';

const MAIN = new URL('../src/main.ts', import.meta.url);
let nats: TestNatsServer;
let session: NatsSession;
let desired: Kv;
let shelf: FencedShelf;
beforeAll(async () => {
  nats = await testNatsServer();
  session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
  desired = await session.ensureKv('desired');
  shelf = new FencedShelf(await session.ensureKv('actual'));
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
    await eventually(async () => (await shelf.read('replicas'))?.value === 30, { timeoutMs: 20_000 });
    // Every step once: the second went on where the first was.
    const steps = [...a.lines, ...b.lines].flatMap((line) => /-> (\d+) under/.exec(line)?.[1] ?? []).map(Number);
    expect(steps).toEqual([...new Set(steps)].sort((x, y) => x - y));
    b.signal('SIGTERM');
    expect((await b.exited).code, b.output).toBe(0);
  });

  it('the shelf turns a former leader away', async () => {
    expect(await shelf.write('fenced', 1, 5)).toBe(true);
    expect(await shelf.write('fenced', 2, 7)).toBe(true);
    expect(await shelf.write('fenced', 3, 5)).toBe(false);
    expect(await shelf.read('fenced')).toEqual({ epoch: 7, value: 2 });
  });
});
