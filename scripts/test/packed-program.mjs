// A user's program on the installed packages: one node with a database, until it is active; prints what it saw.
import { Platform, singleton } from '@canopy/platform';
import { sqlite } from '@canopy/sqlite';

const [servers, dataDir] = process.argv.slice(2);
const platform = new Platform({ name: 'packed', node: 'n1', servers, dataDir, ttl: '2s' });
const active = Promise.withResolvers();
platform.app('books', {
  mode: singleton(),
  database: sqlite(`${dataDir}/books.db`),
  onActive: ({ epoch }) => active.resolve(epoch),
});
await platform.start();
process.stdout.write(`active under epoch ${await active.promise}\n`);
await platform.stop();
process.stdout.write('stopped\n');
