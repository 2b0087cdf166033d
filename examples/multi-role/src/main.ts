/**
 * Several roles, each led by one of the processes that run, over one connection and one watch. Each process prefers some of
 * them, so that the work is spread while all are there. `main.ts [--server URL] [--id NAME] [--ttl 3s] [--prefer a,b] role…`
 */
import { parseArgs } from 'node:util';
import { systemEnv } from '@canopy/core';
import { RoleManager } from '@canopy/election';
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
const manager = new RoleManager({ session, bucket: 'roles', instanceId: id, ttl }, env);
await manager.start();
for (const role of roles) {
  const isPreferred = preferred.has(role);
  // Takes a preferred role over from a process that does not prefer it; begins when the other has certainly ended.
  const options = isPreferred ? { priority: 10, allowPriorityTakeover: true } : {};
  await manager.add(role, options, (election) => {
    election.onPromote(({ epoch }) => say(`${role}: leads under epoch ${epoch}`));
    election.onDemote(({ reason }) => say(`${role}: no longer leads: ${reason}`));
  });
}
say(`stands for ${roles.join(', ')}`);
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, async () => {
    await manager.stop();
    await session.close();
  });
}
