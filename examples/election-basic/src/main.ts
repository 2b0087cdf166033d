/**
 * Runs in as many copies as you like; the one that leads counts, and keeps the count in a fenced file if it is given one.
 * `main.ts [--server URL] [--id NAME] [--ttl 3s] [--file DIRECTORY]`
 */
import { parseArgs } from 'node:util';
import { systemEnv } from '@canopy/core';
import { Election, FencedFile } from '@canopy/election';
import { connectNats } from '@canopy/nats';

const { values } = parseArgs({
  options: {
    server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
    id: { type: 'string', default: `node-${process.pid}` },
    ttl: { type: 'string', default: '3s' },
    file: { type: 'string' },
  },
});
const { server, id, ttl } = values;
const say = (text: string): void => void process.stdout.write(`${id}: ${text}\n`);

const env = systemEnv();
/** On a directory that all copies share: a copy that was frozen in the middle of a write can't undo what came after it. */
const file = values.file === undefined ? undefined : new FencedFile(values.file, env.random.uuid);
const session = await connectNats({ servers: [server] }, { name: id, env });
const election = new Election({ session, bucket: 'elections', group: 'counter', instanceId: id, ttl }, env);

election.onPromote(async ({ epoch, signal }) => {
  say(`leads under epoch ${epoch}`);
  // From here on no earlier term can write the file, so the count that it gives is the last.
  const last = Number(new TextDecoder().decode(await file?.claim(epoch)));
  // Work in small steps and look at the signal between them: it aborts before anybody else may lead.
  for (let count = last + 1; !signal.aborted; count++) {
    await file?.write(epoch, new TextEncoder().encode(String(count)));
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
