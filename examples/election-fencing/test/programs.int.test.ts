import {
  type ChildNode,
  spawnNode,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

let nats: TestNatsServer;
let directory: TemporaryDirectory;
beforeAll(async () => {
  nats = await testNatsServer();
  directory = await temporaryDirectory('fencing');
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await directory?.remove();
});

async function start(program: string, place: string, id: string): Promise<ChildNode> {
  const main = new URL(`../src/${program}.ts`, import.meta.url);
  const child = await spawnNode(main, [place, '--server', nats.url, '--id', id, '--ttl', '1500ms']);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

const numbersOf = (child: ChildNode): number[] => [...child.output.matchAll(/wrote (\d+)/g)].map((m) => Number(m[1]));

describe.each([
  ['file', (): string => `${directory.path}/counter`],
  ['key', (): string => 'counter'],
] as const)('election-fencing, %s', (program, place) => {
  it('a leader that wakes from a freeze is refused by what it writes to', async () => {
    const a = await start(program, place(), 'a');
    await a.line(/wrote 2/);
    const b = await start(program, place(), 'b');
    await b.line(/stands/);
    a.signal('SIGSTOP');
    await b.line(/leads under epoch/);
    await b.line(/wrote/);
    a.signal('SIGCONT');
    await a.line(/refused: .*epoch/);
    const last = numbersOf(a).at(-1) as number;
    const from = Number(/from (\d+)/.exec(b.output)?.[1]);
    // What b went on from has everything that a was told is written.
    expect(from).toBeGreaterThanOrEqual(last);
    await b.line(new RegExp(`wrote ${from + 3}`));
    expect(numbersOf(b).slice(0, 3)).toEqual([from + 1, from + 2, from + 3]);
  });
});
