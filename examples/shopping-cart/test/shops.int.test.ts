/** Three shops in three processes: cut apart, one of them killed meanwhile, healed, and equal with all that was acknowledged. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ChildNode,
  eventually,
  processTree,
  spawnNode,
  TcpProxy,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { expect, it, onTestFinished } from 'vitest';

const SHOP = fileURLToPath(new URL('../src/shop.ts', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

interface Shop {
  readonly child: ChildNode;
  readonly url: string;
}

async function open(id: string, server: string, directory: string): Promise<Shop> {
  const child = await spawnNode(SHOP, ['--id', id, '--db', join(directory, `${id}.db`), '--server', server]);
  onTestFinished(() => child[Symbol.asyncDispose]());
  const line = await child.line(/open at/, { timeoutMs: 40_000 });
  return { child, url: /http:\S+/.exec(line)?.[0] as string };
}

async function ask(shop: Shop, path: string, method = 'GET'): Promise<Record<string, unknown>> {
  const response = await fetch(`${shop.url}${path}`, { method });
  expect(response.status, shop.child.output).toBe(200);
  return (await response.json()) as Record<string, unknown>;
}
const add = (shop: Shop, item: string, by = 1) => ask(shop, `/carts/ann/${item}?by=${by}`, 'POST');
const remove = (shop: Shop, item: string) => ask(shop, `/carts/ann/${item}`, 'DELETE');

async function cart(shop: Shop): Promise<Record<string, number>> {
  const { lines } = (await ask(shop, '/carts/ann')) as { lines: { item: string; quantity: number }[] };
  return Object.fromEntries(lines.map(({ item, quantity }) => [item, quantity]));
}

const equal = (shops: readonly Shop[]) =>
  eventually(
    async () => {
      const states = await Promise.all(shops.map((shop) => ask(shop, '/state')));
      expect(states.map(({ unsent }) => unsent)).toEqual(states.map(() => 0));
      expect(new Set(states.map(({ hash }) => hash)).size).toBe(1);
      return true;
    },
    { what: 'equal states', timeoutMs: 60_000 },
  );

it('shops that are cut apart go on; healed they are equal, and nothing acknowledged is lost', async () => {
  await using directory = await temporaryDirectory('carts');
  await using nats = await testNatsServer();
  await using line = await TcpProxy.start(nats.url);
  const opened = ['eu', 'usa'].map((id) => open(id, nats.url, directory.path));
  const [eu, usa, asia] = (await Promise.all([...opened, open('asia', line.url, directory.path)])) as [
    Shop,
    Shop,
    Shop,
  ];
  await Promise.all([add(eu, 'tea', 2), add(usa, 'milk', 1), add(asia, 'rice', 3)]);
  await equal([eu, usa, asia]);

  await line.refuse();
  // At once on purpose: changes of one shop must not take each other's signature.
  await Promise.all(Array.from({ length: 20 }, (_, i) => add(asia, `asia-${i}`, i + 1)));
  await Promise.all([add(asia, 'tea', 5), remove(asia, 'milk'), add(eu, 'tea', 1), remove(usa, 'rice')]);
  await Promise.all(Array.from({ length: 20 }, (_, i) => add(eu, `eu-${i}`, i + 1)));
  await add(usa, 'milk', 2);
  await add(asia, 'tea', -1);
  await equal([eu, usa]);
  expect(await ask(asia, '/state')).not.toMatchObject({ unsent: 0 });
  expect(await cart(asia)).toMatchObject({ tea: 6, rice: 3 });

  // With all of its writes in its own store alone.
  await asia.child.kill();
  await line.heal();
  const again = await open('asia', line.url, directory.path);
  await equal([eu, usa, again]);
  const many = (shop: string) => Array.from({ length: 20 }, (_, i) => [`${shop}-${i}`, i + 1]);
  const expected = { tea: 7, milk: 2, ...Object.fromEntries([...many('asia'), ...many('eu')]) };
  for (const shop of [eu, usa, again]) expect(await cart(shop)).toEqual(expected);
  for (const { child } of [eu, usa, again]) child.signal('SIGTERM');
  for (const { child } of [eu, usa, again]) expect((await child.exited).code, child.output).toBe(0);
});

it('ctrl-C in the middle of the demo leaves nothing behind', async () => {
  await using directory = await temporaryDirectory('demo');
  await using main = await spawnNode(MAIN, [], { environment: { TMPDIR: directory.path } });
  await main.line(/line of asia is cut/, { timeoutMs: 60_000 });
  const tree = processTree(main.pid).map(({ pid }) => pid);
  expect(tree.length).toBeGreaterThanOrEqual(5);
  main.signal('SIGINT');
  expect((await main.exited).code, main.output).toBe(130);
  await eventually(() => tree.every((pid) => processTree(pid).length === 0), { what: 'the end of all its processes' });
  expect(await readdir(directory.path)).toEqual([]);
});
