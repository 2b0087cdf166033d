/**
 * One master in a process of its own. Its argument is a MasterJob in JSON. It says `ready`, writes on `write` and says `written`, then says
 * `converged`, and the milliseconds of processor time that it took, once it has everything of all masters, and on `hash` the hash of its state.
 */
import { createInterface } from 'node:readline';
import { type ConnectionSpec, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { MultiMasterManager, openEventLog, SqliteStore } from '@canopy/replication';

export interface MasterJob {
  readonly masterId: string;
  readonly masters: readonly string[];
  readonly path: string;
  readonly connection: ConnectionSpec;
  readonly namespace: string;
  readonly writes: number;
}

/** Entities of each master alone, and as many that all write. */
const ENTITIES = 20_000;
const BETWEEN_TURNS = 200;
const POLL_MS = 5;

const { masterId, masters, path, connection, namespace, writes } = JSON.parse(process.argv[2] as string) as MasterJob;
const env = systemEnv();
const session = await connectNats(connection, { name: masterId, env });
const store = SqliteStore.open({ path, durability: 'process' });
const pipeline = await openEventLog(session, { namespace });
const master = new MultiMasterManager({ masterId, pipeline, stateManager: store });
await master.subscribe();
say('ready');

for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'write') await writeAll();
  else if (command === 'hash') say(await master.stateHash());
}

async function writeAll(): Promise<void> {
  for (let n = 0; n < writes; n++) {
    const entity = Math.floor(n / 2) % ENTITIES;
    const id = n % 2 === 0 ? `shared-${entity}` : `${masterId}-${entity}`;
    await master.write(id, { name: 'Alice', orders: n, note: 'x'.repeat(100) });
    if (n % BETWEEN_TURNS === 0) await env.clock.sleep(0);
  }
  const used = process.cpuUsage();
  say('written');
  const isThere = (): boolean => {
    const clock = master.getVectorClock();
    return masters.every((each) => clock.get(each) === writes);
  };
  while (!isThere()) await env.clock.sleep(POLL_MS);
  const { user, system } = process.cpuUsage(used);
  say(`converged ${Math.round((user + system) / 1000)}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
