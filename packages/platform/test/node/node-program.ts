/** A node in a process of its own, for tests that kill and freeze it. Prints one line per state. */
import { CanopyError, type ConnectionSpec, systemEnv } from '@canopy/core';
import { Platform, singleton } from '../../src/index.ts';

const config = JSON.parse(process.argv[2] as string) as {
  platform: string;
  node: string;
  dataDir: string;
  connection: ConnectionSpec;
  warden?: boolean;
};

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const platform = new Platform(
  {
    name: config.platform,
    node: config.node,
    connection: config.connection,
    dataDir: config.dataDir,
    refreshInterval: 200,
    ...(config.warden === undefined ? {} : { warden: config.warden }),
  },
  systemEnv(),
);
platform.app('x', {
  mode: singleton(),
  election: config.warden === false ? { ttl: 600 } : {},
  onActive: () => say('serving'),
  onPassive: () => say('passive'),
});

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
platform.onMemberJoin(({ record }) => {
  if (record.process.pid === process.pid) say('running');
});
try {
  await platform.run({ signal: stop.signal });
  say('stopped');
} catch (error) {
  say(CanopyError.is(error) ? `${error.code} ${error.message}` : String(error));
  process.exitCode = 1;
}
