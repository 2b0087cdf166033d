/**
 * A controller: makes what is (`actual`) into what should be (`desired`), one step at a time, in one process of all that run.
 * `main.ts [--server URL] [--id NAME] [--ttl 3s]`
 */
import { parseArgs } from 'node:util';
import { hasCode, messageOf, systemEnv } from '@canopy/core';
import { Election, type Leadership } from '@canopy/election';
import { connectNats, type Kv } from '@canopy/nats';
import { FencedShelf } from './fenced-shelf.ts';

const { values } = parseArgs({
  options: {
    server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
    id: { type: 'string', default: `manager-${process.pid}` },
    ttl: { type: 'string', default: '3s' },
  },
});
const { server, id, ttl } = values;
const say = (text: string): void => void process.stdout.write(`${id}: ${text}\n`);

const env = systemEnv();
const session = await connectNats({ servers: [server] }, { name: id, env });
const desired = await session.ensureKv('desired');
const actual = new FencedShelf(await session.ensureKv('actual'));
const election = new Election({ session, bucket: 'elections', group: 'control-manager', instanceId: id, ttl }, env);
const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());

/** One round over everything that should be: each thing moves by one towards it. */
async function reconcile(wishes: Kv, { epoch }: Leadership): Promise<void> {
  for (const key of await wishes.keys()) {
    const entry = await wishes.get(key);
    if (entry === undefined) continue;
    const target = Number(new TextDecoder().decode(entry.value));
    const now = (await actual.read(key))?.value ?? 0;
    if (now === target) continue;
    const next = now + Math.sign(target - now);
    if (!(await actual.write(key, next, epoch))) throw new Error(`${key} was written under a higher epoch`);
    say(`${key}: ${now} -> ${next} under epoch ${epoch}`);
  }
}

async function manage(leadership: Leadership): Promise<void> {
  say(`manages under epoch ${leadership.epoch}`);
  const signal = AbortSignal.any([leadership.signal, stopping.signal]);
  while (!signal.aborted) {
    await reconcile(desired, leadership);
    await env.clock.sleep(100, { signal }).catch(() => {});
  }
}

await election.start();
say('stands');
while (!stopping.signal.aborted) {
  try {
    await election.lead(manage, { signal: stopping.signal });
  } catch (error) {
    if (stopping.signal.aborted) break;
    say(`round ended: ${messageOf(error)}`);
    // Something is wrong with this one, or with the store: let another try.
    await election.stepDown().catch((refused: unknown) => {
      if (!hasCode(refused, 'ELECTION_NOT_LEADER')) throw refused;
    });
  }
}
await election.stop();
await session.close();
