/**
 * Several roles, each led by one of the processes that run, over one connection and one bucket. Each process prefers some of
 * them, so that the work is spread while all are there. `main.ts [--server URL] [--id NAME] [--ttl 3s] [--prefer a,b] role…`
 */
import { parseArgs } from 'node:util';
import { systemEnv } from '@canopy/core';
import { Election } from '@canopy/election';
import { connectNats } from '@canopy/nats';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
    id: { type: 'string', default: `node-${process.pid}` },
    ttl: { type: 'string', default: '3s' },
    prefer: { type: 'string', default: '' },
  },
});
const { server, id, ttl, prefer } = values;
const roles = positionals.length > 0 ? positionals : ['billing', 'mail', 'reports'];
const preferred = new Set(prefer.split(','));
const say = (text: string): void => void process.stdout.write(`${id}: ${text}\n`);

const env = systemEnv();
const session = await connectNats({ servers: [server] }, { name: id, env });
const elections = roles.map((group) => {
  const isPreferred = preferred.has(group);
  const election = new Election(
    {
      session,
      bucket: 'roles',
      group,
      instanceId: id,
      ttl,
      // Takes a preferred role over from a process that does not prefer it; begins when the other has certainly ended.
      priority: isPreferred ? 10 : 0,
      allowPriorityTakeover: isPreferred,
    },
    env,
  );
  election.onPromote(({ epoch }) => say(`${group}: leads under epoch ${epoch}`));
  election.onDemote(({ reason }) => say(`${group}: no longer leads: ${reason}`));
  return election;
});

await Promise.all(elections.map((election) => election.start()));
say(`stands for ${roles.join(', ')}`);
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, async () => {
    await Promise.all(elections.map((election) => election.stop()));
    await session.close();
  });
}
