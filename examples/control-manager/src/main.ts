/**
 * A controller: makes what is (`actual`) into what should be (`desired`), one step at a time, in one process of all that run.
 * `main.ts [--server URL] [--id NAME] [--ttl 3s]`
 */
import { parseArgs } from 'node:util';
import { hasCode, messageOf, systemEnv } from '@canopy/core';
import { Election, FencedKey, type Leadership } from '@canopy/election';
import { connectNats } from '@canopy/nats';

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
const actual = await session.ensureKv('actual');
const election = new Election({ session, bucket: 'elections', group: 'control-manager', instanceId: id, ttl }, env);
const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());

/**
 * What is, one fenced key per thing: each entry says under which epoch it was written, and a writer with a lower one is turned
 * away. So a leader that was frozen between two lines of this file can't undo what its successor did, whatever its clock says.
 */
class Term {
  readonly #epoch: number;
  readonly #claimed = new Map<string, FencedKey>();

  constructor({ epoch }: Leadership) {
    this.#epoch = epoch;
  }

  /** One round over everything that should be: each thing moves by one towards it. */
  async reconcile(): Promise<void> {
    for (const key of await desired.keys()) {
      const entry = await desired.get(key);
      if (entry === undefined) continue;
      const thing = await this.#claim(key);
      const target = numberOf(entry.value);
      const now = numberOf((await thing.read())?.value);
      if (now === target) continue;
      const next = now + Math.sign(target - now);
      await thing.write(this.#epoch, new TextEncoder().encode(String(next)));
      say(`${key}: ${now} -> ${next} under epoch ${this.#epoch}`);
    }
  }

  /** Once per term and thing: from here on no earlier term can write, so what is read stays. */
  async #claim(key: string): Promise<FencedKey> {
    let thing = this.#claimed.get(key);
    if (thing === undefined) {
      thing = new FencedKey(actual, key);
      await thing.claim(this.#epoch);
      this.#claimed.set(key, thing);
    }
    return thing;
  }
}

function numberOf(value: Uint8Array | undefined): number {
  return Number(new TextDecoder().decode(value));
}

async function manage(leadership: Leadership): Promise<void> {
  say(`manages under epoch ${leadership.epoch}`);
  const term = new Term(leadership);
  const signal = AbortSignal.any([leadership.signal, stopping.signal]);
  while (!signal.aborted) {
    await term.reconcile();
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
