import { type ChildNode, spawnNode, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

const MAIN = new URL('../src/main.ts', import.meta.url);
let nats: TestNatsServer;
beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

async function start(id: string): Promise<ChildNode> {
  const child = await spawnNode(MAIN, ['--server', nats.url, '--id', id, '--ttl', '1500ms']);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

const epochOf = async (child: ChildNode): Promise<number> =>
  Number(/epoch (\d+)/.exec(await child.line(/leads under epoch/))?.[1]);

describe('election-basic', () => {
  it('counts in one of two; killed, the other goes on; stopped, a third does at once', async () => {
    const a = await start('a');
    const first = await epochOf(a);
    const b = await start('b');
    await b.line(/stands/);
    expect(b.output).not.toContain('leads');
    await a.kill();
    const second = await epochOf(b);
    await b.line(/count 2/);
    const c = await start('c');
    await c.line(/stands/);
    b.signal('SIGTERM');
    const third = await epochOf(c);
    expect((await b.exited).code, b.output).toBe(0);
    expect(b.output).toContain('no longer leads: stop');
    expect([second > first, third > second]).toEqual([true, true]);
  });
});
