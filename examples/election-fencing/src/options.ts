/** What both programs are told on their command line, and the election that both stand in. */
import { parseArgs } from 'node:util';
import { type Env, systemEnv } from '@canopy/core';
import { Election } from '@canopy/election';
import { connectNats, type NatsSession } from '@canopy/nats';

export interface Stand {
  readonly id: string;
  readonly env: Env;
  readonly session: NatsSession;
  readonly election: Election;
  readonly place: string;
  readonly say: (text: string) => void;
}

/** `main.ts PLACE [--server URL] [--id NAME] [--ttl 3s]` */
export async function stand(group: string): Promise<Stand> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
      id: { type: 'string', default: `node-${process.pid}` },
      ttl: { type: 'string', default: '3s' },
    },
  });
  const { server, id, ttl } = values;
  const env = systemEnv();
  const session = await connectNats({ servers: [server] }, { name: id, env });
  const election = new Election({ session, bucket: 'elections', group, instanceId: id, ttl }, env);
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, async () => {
      await election.stop();
      await session.close();
    });
  const say = (text: string): void => void process.stdout.write(`${id}: ${text}\n`);
  return { id, env, session, election, place: positionals[0] ?? group, say };
}
