/**
 * One shop: a master with its own store and a small HTTP interface on the loopback. Every change is stored here before it is
 * answered, whether the other shops can be reached or not.
 * `shop.ts --id NAME --db FILE [--server URL] [--port 0] [--attached]`
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { messageOf, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { MultiMasterManager, openEventLog, SqliteStore } from '@canopy/replication';
import { Cart } from './cart.ts';

const { values } = parseArgs({
  options: {
    id: { type: 'string', default: 'shop' },
    db: { type: 'string', default: 'shop.db' },
    server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
    port: { type: 'string', default: '0' },
    /** End with whoever holds the other end of our standard input. */
    attached: { type: 'boolean', default: false },
  },
});
const { id, db, server, port, attached } = values;
const NAME = /^[a-z][a-z0-9-]{0,40}$/;
const QUANTITY_MAX = 1000;

const env = systemEnv();
await using cleanup = new AsyncDisposableStack();
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
if (attached) process.stdin.on('end', () => stop.abort()).resume();

const store = cleanup.adopt(SqliteStore.open({ path: db }), (each) => each.close());
const spec = { servers: [server], ignoreClusterUpdates: true };
const session = await connectNats(spec, { name: id, env, waitForServer: true, timeoutMs: 30_000 });
cleanup.defer(() => session.close());
const log = await openEventLog(session, { namespace: 'carts' }, env);
const config = { masterId: id, pipeline: log, stateManager: store, conflictStrategy: 'crdt' } as const;
const master = cleanup.use(new MultiMasterManager(config, env));
await master.subscribe();

/** Changes of this shop come one after the other: each is a reading and a writing, signed by the shop's name. */
let turn: Promise<unknown> = Promise.resolve();
function change(name: string, edit: (cart: Cart) => void): Promise<object> {
  const mine = turn.then(async () => {
    const cart = new Cart(id, await master.read(name));
    edit(cart);
    const { queued } = await master.write(name, cart.toData());
    return { queued, lines: cart.lines() };
  });
  turn = mine.catch(() => {});
  return mine;
}

async function answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
  const url = new URL(request.url ?? '/', 'http://shop');
  const [, place, name = '', item = ''] = url.pathname.split('/');
  if (place === 'state') {
    const { unsent, vectorClock } = master.getStatus();
    return { status: 200, body: { shop: id, hash: await master.stateHash(), unsent, vectorClock } };
  }
  if (place !== 'carts' || !NAME.test(name))
    return { status: 404, body: { problem: 'there is /carts/NAME and /state' } };
  if (request.method === 'GET') return { status: 200, body: { lines: new Cart(id, await master.read(name)).lines() } };
  const by = Number(url.searchParams.get('by') ?? 1);
  if (!NAME.test(item) || !Number.isSafeInteger(by) || by === 0 || Math.abs(by) > QUANTITY_MAX)
    return { status: 400, body: { problem: `/carts/NAME/ITEM?by=QUANTITY, at most ${QUANTITY_MAX}` } };
  if (request.method === 'DELETE') return { status: 200, body: await change(name, (cart) => cart.remove(item)) };
  const edit = (cart: Cart): void => (by > 0 ? cart.add(item, by) : cart.reduce(item, -by));
  return { status: 200, body: await change(name, edit) };
}

const http = createServer((request, response) => {
  request.resume();
  answer(request)
    .catch((error: unknown) => ({ status: 503, body: { problem: messageOf(error) } }))
    .then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
    });
});
cleanup.defer(async () => {
  const closed = new Promise((resolve) => http.close(resolve));
  http.closeAllConnections();
  await closed;
});
await new Promise<void>((resolve) => http.listen(Number(port), '127.0.0.1', resolve));
process.stdout.write(`${id}: open at http://127.0.0.1:${(http.address() as AddressInfo).port}\n`);
if (!stop.signal.aborted) await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
process.stdin.pause();
