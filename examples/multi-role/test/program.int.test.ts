import { type ChildNode, spawnNode, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, it, onTestFinished } from 'vitest';

const MAIN = new URL('../src/main.ts', import.meta.url);
let nats: TestNatsServer;
beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

async function start(id: string, prefer: string): Promise<ChildNode> {
  const child = await spawnNode(MAIN, ['--server', nats.url, '--id', id, '--ttl', '1500ms', '--prefer', prefer]);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

describe('multi-role', () => {
  it('spreads the roles by preference; when one process is killed the other leads them all', async () => {
    const a = await start('a', 'billing');
    for (const role of ['billing', 'mail', 'reports']) await a.line(new RegExp(`${role}: leads`));
    const b = await start('b', 'mail,reports');
    for (const role of ['mail', 'reports']) {
      await a.line(new RegExp(`${role}: no longer leads`));
      await b.line(new RegExp(`${role}: leads`));
    }
    await a.kill();
    await b.line(/billing: leads/);
  });
});
