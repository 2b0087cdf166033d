import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { FencedFile } from '@canopy/election';
import { type ChildNode, spawnNode, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

const MAIN = new URL('../src/main.ts', import.meta.url);
let nats: TestNatsServer;
beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

async function start(id: string, ...more: readonly string[]): Promise<ChildNode> {
  const child = await spawnNode(MAIN, ['--server', nats.url, '--id', id, '--ttl', '1500ms', ...more]);
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

  it('keeps the count in a file, where the next one goes on and the former one is refused', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'election-basic-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const a = await start('a', '--file', directory);
    const first = await epochOf(a);
    const b = await start('b', '--file', directory);
    await a.line(/count 3/);
    await a.kill();
    await epochOf(b);
    const numberIn = (line: string): number => Number(/count (\d+)/.exec(line)?.[1]);
    const before = numberIn(a.lines.findLast((line) => line.includes('count')) ?? '');
    const after = numberIn(await b.line(/count \d+/));
    // The last one may have been written and not said.
    expect([1, 2]).toContain(after - before);
    const file = new FencedFile(directory, systemEnv().random.uuid);
    await expect(file.write(first, new Uint8Array())).rejects.toMatchObject({ code: 'ELECTION_EPOCH_STALE' });
    b.signal('SIGTERM');
    expect((await b.exited).code, b.output).toBe(0);
  });
});
