/** The app that writes its own database, on two nodes: confirmed commits, a hand-over, and the death of the active node. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { ControlClient } from '@canopy/platform';
import {
  eventually,
  freePort,
  spawnNode,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { expect, it, onTestFinished } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../src/orders.ts', import.meta.url));

async function start(node: string, nats: TestNatsServer, directory: string) {
  const [port, proxy] = [await freePort(), await freePort()];
  const args = [node, nats.url, join(directory, node), String(port), `127.0.0.1:${proxy}`];
  const child = await spawnNode(PROGRAM, args);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return { node, child, direct: `http://127.0.0.1:${port}`, proxy: `http://127.0.0.1:${proxy}` };
}

const order = async (url: string, item: string) => {
  const response = await fetch(`${url}/?item=${item}`, { method: 'POST' });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const items = async (url: string): Promise<unknown[]> =>
  ((await (await fetch(url)).json()) as { item: string }[]).map(({ item }) => item);

it('what was acknowledged is there after a hand-over and after a kill, and a standby says who is primary', async () => {
  await using directory = await temporaryDirectory('orders');
  await using nats = await testNatsServer();
  const a = await start('n1', nats, directory.path);
  await a.child.line(/active under epoch \d+/, { timeoutMs: 30_000 });
  const alone = await order(a.direct, 'alone');
  expect(alone).toMatchObject({ status: 503, body: { code: 'APP_DB_UNCONFIRMED', outcome: 'unknown' } });
  expect(alone.body.message).toContain('0 of 1 standbys');

  const b = await start('n2', nats, directory.path);
  await eventually(async () => (await order(a.direct, 'first')).status === 201, { what: 'a confirmed order' });
  await eventually(async () => (await order(b.proxy, 'second')).status === 201, { what: 'an order through the other' });
  const refused = await order(b.direct, 'nowhere');
  expect(refused).toMatchObject({ status: 503, body: { code: 'APP_DB_NOT_PRIMARY', outcome: 'none', leader: 'n1' } });
  const before = await items(a.direct);

  await using session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
  const client = new ControlClient(session, 'shop');
  await client.stepdown('orders', { to: 'n2' });
  await b.child.line(/active under epoch \d+/, { timeoutMs: 30_000 });
  expect(await items(b.direct)).toEqual(before);
  // It has become a standby in place: nothing in that process holds the file any more.
  await eventually(async () => (await order(a.direct, 'late')).body.leader === 'n2');
  await eventually(async () => (await order(b.direct, 'third')).status === 201, {
    what: 'an order after the hand-over',
  });
  expect(await client.databases.sync('orders', { applied: 1 })).toMatchObject({ node: 'n2' });
  const snapshot = await client.databases.createSnapshot('orders', { name: 'third' });
  expect(await client.databases.listSnapshots('orders')).toEqual([snapshot]);
  const acknowledged = await items(b.direct);

  await b.child.kill();
  await eventually(async () => (await fetch(a.direct)).status === 200, {
    what: 'n1 is active again',
    timeoutMs: 30_000,
  });
  expect(await items(a.direct)).toEqual(acknowledged);
});
