/** Runs in as many copies as you like; the one that leads counts. `main.ts [--server URL] [--id NAME] [--ttl 3s]` */
import { parseArgs } from 'node:util';
import { systemEnv } from '@canopy/core';
import { Election } from '@canopy/election';
import { connectNats } from '@canopy/nats';

const { values } = parseArgs({
  options: {
    server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
    id: { type: 'string', default: `node-${process.pid}` },
    ttl: { type: 'string', default: '3s' },
  },
});
const { server, id, ttl } = values;
const say = (text: string): void => void process.stdout.write(`${id}: ${text}\n`);

const env = systemEnv();
const session = await connectNats({ servers: [server] }, { name: id, env });
const election = new Election({ session, bucket: 'elections', group: 'counter', instanceId: id, ttl }, env);

election.onPromote(async ({ epoch, signal }) => {
  say(`leads under epoch ${epoch}`);
  // Work in small steps and look at the signal between them: it aborts before anybody else may lead.
  for (let count = 1; !signal.aborted; count++) {
    say(`count ${count}`);
    await env.clock.sleep(500, { signal }).catch(() => {});
  }
});
election.onDemote(({ reason }) => say(`no longer leads: ${reason}`));

await election.start();
say('stands');
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, async () => {
    // Ends the work, then releases the lease: another goes on within milliseconds.
    await election.stop();
    await session.close();
  });
}
