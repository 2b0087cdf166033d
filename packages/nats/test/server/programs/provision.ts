/** Provisions a server from the release location that is named, into the cache that is named. */
import { findNatsServer } from '@canopy/nats/server';

const [cacheDir, baseUrl] = process.argv.slice(2) as [string, string];
const found = await findNatsServer({
  environment: {},
  cacheDir,
  release: { baseUrl, version: '2.15.1' },
  debianSuites: [],
  onProgress: (progress) => process.stdout.write(`${JSON.stringify(progress)}\n`),
});
process.stdout.write(`${JSON.stringify(found)}\n`);
