import { processBackend } from '@canopy/backends';
import { Platform, singleton } from '@canopy/platform';
import { sqlite } from '@canopy/sqlite';

const [node = 'n1', servers = 'nats://127.0.0.1:4222', dataDir = './data', port = '9000', listen = '127.0.0.1:8080'] =
  process.argv.slice(2);
const platform = new Platform({ name: 'prod', node, servers, dataDir });
const db = `${dataDir}/ledger.db`;
platform.app('ledger', {
  mode: singleton(),
  database: sqlite(db),
  backend: processBackend({
    command: ['ledger', '--db', db, '--port', port],
    address: `http://127.0.0.1:${port}`,
    health: { path: '/healthz' },
  }),
  proxy: { listen, writes: 'replicated' },
  onActive: ({ epoch }) => void process.stdout.write(`active under epoch ${epoch}\n`),
});
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await platform.run({ signal: stop.signal });
