/**
 * Several masters: what a local write takes beside a bare commit of the same bytes, and how long three masters, each a process of its own,
 * take to come to one state after each has written alone. The server flushes every message, as the product's does.
 */
import { join } from 'node:path';
import { type Env, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { connect, connectOptions } from '@canopy/nats/transport';
import {
  MultiMasterManager,
  openEventLog,
  SqliteStore,
  type StoreChange,
  type StoreDurability,
} from '@canopy/replication';
import { type ChildNode, spawnNode, type TestNatsServer, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { jetstream } from '@nats-io/jetstream';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { requireEqual } from './equal.ts';
import type { MasterJob } from './masters/main.ts';

const MASTER = new URL('./masters/main.ts', import.meta.url);
const NAMESPACE = 'bench';
const MASTERS = ['a', 'b', 'c'];
const WAIT_MS = 600_000;
const COMMIT = 256;
/** Between writes, so that the loop turns and the outbox is sent meanwhile. */
const PAUSE_MS = 1;

const env: Env = systemEnv();
const now = (): number => env.clock.monotonic();

export async function measureLocalWrites(report: Report, rounds: number): Promise<void> {
  await localWrites(report, rounds, 'process', '');
  await localWrites(report, rounds, 'full', '_full');
}

async function localWrites(report: Report, rounds: number, durability: StoreDurability, suffix: string): Promise<void> {
  await using directory = await temporaryDirectory('bench-master');
  await using nats = await testNatsServer({ syncAlways: true });
  const stores = ['master', 'bare', 'other'].map((name) =>
    SqliteStore.open({ path: join(directory.path, `${name}.db`), durability }),
  ) as [SqliteStore, SqliteStore, SqliteStore];
  const [own, bareStore, otherStore] = stores;
  const sessions = [];
  try {
    let committed: readonly StoreChange[] = [];
    // Of this turn: the write's own commit, with nothing of the reader's.
    const watched = watching(own, (changes) => {
      committed = changes;
    });
    const masters: MultiMasterManager[] = [];
    for (const [masterId, stateManager] of [
      ['a', watched],
      ['b', otherStore],
    ] as const) {
      const session = await connectNats(nats.connection, { name: masterId, env });
      sessions.push(session);
      const pipeline = await openEventLog(session, { namespace: NAMESPACE });
      const master = new MultiMasterManager({ masterId, pipeline, stateManager });
      masters.push(master);
      await master.subscribe();
    }
    const [a, b] = masters as [MultiMasterManager, MultiMasterManager];
    const [ours, bare] = [new Samples(), new Samples()];
    const warmUp = Math.ceil(rounds / 10);
    for (let round = 0; round < rounds + warmUp; round++) {
      let from = now();
      await a.write(`customer-${round % 1000}`, { name: 'Alice', orders: round, note: 'x'.repeat(150) });
      const wrote = now() - from;
      const changes = committed;
      await env.clock.sleep(PAUSE_MS);
      from = now();
      bareStore.commit(changes);
      if (round >= warmUp) {
        ours.add(wrote);
        bare.add(now() - from);
      }
      await env.clock.sleep(PAUSE_MS);
    }
    report.figure(`master_write${suffix}.p50`, 'ms', ours.p50, bare.p50);
    report.figure(`master_write${suffix}.p99`, 'ms', ours.p99, bare.p99, { of: 'value', atMost: 1 });
    while (b.getVectorClock().get('a') < rounds + warmUp) await env.clock.sleep(5);
    requireEqual('masters', await Promise.all(masters.map((master) => master.stateHash())));
    for (const master of masters) await master.close();
  } finally {
    for (const session of sessions) await session.close();
    for (const store of stores) store.close();
  }
}

function watching(inner: SqliteStore, onCommit: (changes: readonly StoreChange[]) => void): SqliteStore {
  const commit: SqliteStore['commit'] = (changes, moves) => {
    onCommit(changes);
    inner.commit(changes, moves);
  };
  return new Proxy(inner, {
    get: (target, name) => {
      if (name === 'commit') return commit;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/**
 * The backlog is made while no master can reach anybody: the server is gone. How long that lasts makes no difference to what there is to do
 * then, so nobody waits. Time runs from the moment at which the server takes connections again.
 */
export async function measureHealing(report: Report, writes: number): Promise<void> {
  await using directory = await temporaryDirectory('bench-healing');
  await using nats = await testNatsServer({ syncAlways: true });
  const children: ChildNode[] = [];
  try {
    for (const masterId of MASTERS) {
      const path = join(directory.path, `${masterId}.db`);
      const { connection } = nats;
      const job: MasterJob = { masterId, masters: MASTERS, path, connection, namespace: NAMESPACE, writes };
      children.push(await spawnNode(MASTER, [JSON.stringify(job)]));
    }
    const all = (pattern: RegExp): Promise<string[]> =>
      Promise.all(children.map((child) => child.line(pattern, { timeoutMs: WAIT_MS })));
    const tell = (text: string): void => {
      for (const child of children) child.write(`${text}\n`);
    };
    await all(/^ready$/);
    await nats.server.kill();
    tell('write');
    await all(/^written$/);
    await nats.server.restart();
    const from = now();
    const converged = await all(/^converged /);
    const seconds = (now() - from) / 1000;
    const cpuMs = Math.max(...converged.map((line) => Number(line.split(' ')[1])));
    tell('hash');
    requireEqual('masters', await all(/^[0-9a-f]{64}$/));
    const bare = await bareReading(nats, join(directory.path, 'bare.db'), writes * MASTERS.length);
    report.figure(`masters_heal_${writes}`, 's', seconds, bare.seconds, { of: 'value', atMost: 10 });
    report.figure(`masters_heal_${writes}.cpu`, 's', cpuMs / 1000, bare.cpu);
  } finally {
    for (const child of children) await child[Symbol.asyncDispose]();
  }
}

interface Written {
  readonly type: string;
  readonly entityId: string;
  readonly data: StoreChange['value'];
}

interface Bare {
  readonly seconds: number;
  /** Seconds of processor time. */
  readonly cpu: number;
}

/** One consumer of the client that decodes the same events and puts each entity into a store. */
async function bareReading({ connection }: TestNatsServer, path: string, events: number): Promise<Bare> {
  const nc = await connect(await connectOptions(connection, 'bare'));
  const store = SqliteStore.open({ path, durability: 'process' });
  try {
    const from = now();
    const used = process.cpuUsage();
    const consumer = await jetstream(nc).consumers.get(`CANOPY_REPLICATION_${NAMESPACE}`);
    const changes: StoreChange[] = [];
    let seen = 0;
    for await (const message of await consumer.consume()) {
      const told = message.json<Written & { readonly events?: readonly Written[] }>();
      for (const { type, entityId, data } of told.events ?? [told]) {
        if (type !== 'write') continue;
        changes.push({ space: 'entities', key: entityId, value: data });
        seen += 1;
      }
      if (changes.length >= COMMIT || seen === events) store.commit(changes.splice(0));
      if (seen === events) break;
    }
    const { user, system } = process.cpuUsage(used);
    return { seconds: (now() - from) / 1000, cpu: (user + system) / 1e6 };
  } finally {
    store.close();
    await nc.close();
  }
}
