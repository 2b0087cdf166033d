/** An app whose code runs in this process: it writes its own database, and answers when the commit is where it has to be. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { CanopyError } from '@canopy/core';
import { Platform, singleton } from '@canopy/platform';
import { sqlite } from '@canopy/sqlite';

const [node = 'n1', servers = 'nats://127.0.0.1:4222', dataDir = './data', port = '9000', listen = '127.0.0.1:8080'] =
  process.argv.slice(2);
const platform = new Platform({ name: 'shop', node, servers, dataDir });
const app = platform.app('orders', {
  mode: singleton(),
  database: sqlite(`${dataDir}/orders.db`),
  // Any node takes requests and passes them on to the active one; confirming is done below, by the transaction.
  proxy: { listen, to: `http://127.0.0.1:${port}`, writes: 'async' },
  onActive: async ({ epoch }) => {
    app.db().exec('CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, item TEXT NOT NULL) STRICT');
    process.stdout.write(`active under epoch ${epoch}\n`);
  },
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    if (request.method !== 'POST') {
      send(response, 200, app.db().prepare('SELECT id, item FROM orders ORDER BY id').all());
      return;
    }
    const item = new URL(request.url ?? '/', 'http://orders').searchParams.get('item') ?? 'nothing';
    // Resolves when a quorum of the log's servers has it, and one standby can be read from.
    const id = await app
      .db()
      .transaction((db) => db.prepare('INSERT INTO orders(item) VALUES (?)').run(item).lastInsertRowid, {
        durability: { applied: 1 },
        timeout: '5s',
      });
    send(response, 201, { id: Number(id), item });
  } catch (error) {
    if (!CanopyError.is(error)) throw error;
    // Committed here, but maybe not for good: the client must look before it orders again. All else was rolled back.
    const outcome = error.code === 'APP_DB_UNCONFIRMED' ? 'unknown' : 'none';
    send(response, 503, { code: error.code, message: error.message, outcome, leader: error.fields.leader });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: Error) => send(response, 500, { message: error.message }));
}).listen(Number(port), '127.0.0.1');
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await platform.run({ signal: stop.signal });
server.close();
server.closeAllConnections();
