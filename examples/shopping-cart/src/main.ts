/**
 * The whole story on this machine: a nats-server, three shops, one of them cut off while all of them sell, and together again. Exit
 * code 0 when the carts are equal and hold all that was acknowledged. `main.ts` takes no arguments; ctrl-C ends all of it.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemEnv } from '@canopy/core';
import { findNatsServer, NatsServer } from '@canopy/nats/server';
import { Link } from './link.ts';

const SHOP = fileURLToPath(new URL('./shop.ts', import.meta.url));
const WAIT_MS = 30_000;
const { clock } = systemEnv();
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(name, () => stop.abort(new DOMException('interrupted', 'AbortError')));

interface Shop {
  readonly id: string;
  readonly link: Link;
  readonly url: string;
}

interface State {
  readonly hash: string;
  readonly unsent: number;
}

async function openShop(id: string, server: string, directory: string, cleanup: AsyncDisposableStack): Promise<Shop> {
  const link = cleanup.use(new Link(server));
  const args = [SHOP, '--id', id, '--db', join(directory, `${id}.db`), '--server', await link.open(), '--attached'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  cleanup.defer(async () => {
    child.kill('SIGTERM');
    await Promise.race([ended, clock.sleep(5000)]);
    child.kill('SIGKILL');
    await ended;
  });
  const url = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const found = /open at (\S+)/.exec(line)?.[1];
    if (found !== undefined) url.resolve(found);
  });
  ended.then(() => url.reject(new Error(`the shop ${id} has ended`)));
  stop.signal.addEventListener('abort', () => url.reject(stop.signal.reason));
  return { id, link, url: await url.promise };
}

async function ask<T>({ id, url }: Shop, path: string, method = 'GET'): Promise<T> {
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(WAIT_MS)]);
  const response = await fetch(`${url}${path}`, { method, signal });
  if (!response.ok) throw new Error(`${id} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

async function sell(shop: Shop, path: string, method = 'POST'): Promise<void> {
  await ask(shop, `/carts/ann/${path}`, method);
  const words = method === 'DELETE' ? 'takes out' : 'puts in';
  say(`  ${shop.id.padEnd(6)} ${words} ${path.replace('?by=', ' x ')}`);
}

async function show(shops: readonly Shop[]): Promise<readonly string[]> {
  const carts: string[] = [];
  for (const shop of shops) {
    const { lines } = await ask<{ lines: { item: string; quantity: number }[] }>(shop, '/carts/ann');
    const text = lines.map(({ item, quantity }) => `${quantity} ${item}`).join(', ');
    const { hash, unsent } = await ask<State>(shop, '/state');
    say(`  ${shop.id.padEnd(6)} ${text.padEnd(34)} state ${hash.slice(0, 8)}${unsent > 0 ? `  ${unsent} unsent` : ''}`);
    carts.push(text);
  }
  return carts;
}

/** Until all of these have sent everything and show the same. */
async function equal(shops: readonly Shop[]): Promise<void> {
  const giveUpAt = clock.monotonic() + WAIT_MS;
  for (;;) {
    const states = await Promise.all(shops.map((shop) => ask<State>(shop, '/state')));
    if (states.every(({ hash, unsent }) => hash === states[0]?.hash && unsent === 0)) return;
    if (clock.monotonic() > giveUpAt) throw new Error('the shops did not come together');
    await clock.sleep(50, { signal: stop.signal });
  }
}

async function story(): Promise<boolean> {
  await using cleanup = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'canopy-carts-'));
  cleanup.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const { path: binary } = await findNatsServer();
  const dataDir = join(directory, 'nats');
  const nats = await NatsServer.launch({ binary, dataDir });
  cleanup.defer(() => nats.stop());
  const opened = ['eu', 'usa', 'asia'].map((id) => openShop(id, nats.url, directory, cleanup));
  const shops = await Promise.all(opened);
  const [eu, usa, asia] = shops as [Shop, Shop, Shop];

  say('Three shops, one cart');
  await sell(eu, 'tea?by=2');
  await sell(usa, 'milk');
  await sell(asia, 'rice?by=3');
  await equal(shops);
  await show(shops);

  say('The line of asia is cut; all go on selling');
  asia.link.cut();
  await sell(asia, 'tea?by=5');
  await sell(asia, 'milk', 'DELETE');
  await sell(asia, 'ginger');
  await sell(eu, 'tea?by=1');
  await sell(usa, 'milk?by=2');
  await sell(usa, 'rice', 'DELETE');
  await equal([eu, usa]);
  await show(shops);

  say('The line is whole again');
  asia.link.heal();
  await equal(shops);
  const carts = await show(shops);
  // 2 + 5 + 1 tea; usa put 2 milk in without knowing that asia took the first one out; nobody put rice in again.
  const holds = carts.every((cart) => cart === '1 ginger, 2 milk, 8 tea');
  say(holds ? 'Equal, and nothing was lost.' : 'NOT what was acknowledged.');
  return holds;
}

try {
  process.exitCode = (await story()) ? 0 : 1;
} catch (error) {
  if (!stop.signal.aborted) throw error;
  say('interrupted: all that was started has ended');
  process.exitCode = 130;
}
