/**
 * How fast a follower applies a log that is there, beside a bare ordered consumer that decodes the same messages and writes the same kind of
 * store in commits of the follower's sizes; and how soon a new follower shows a snapshot, beside a bare copy of its bytes.
 * Only reading is measured, so the server need not flush what is written.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemEnv } from '@canopy/core';
import { wrapConnection } from '@canopy/nats';
import { connect, connectOptions, type NatsConnection } from '@canopy/nats/transport';
import {
  blobSnapshots,
  type DurableStateStore,
  type EventLog,
  LeaderFollowerManager,
  openEventLog,
  SqliteStore,
  type StateChange,
  stateStore,
} from '@canopy/replication';
import { temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { requireEqual, stateHashOf } from './equal.ts';

const NAMESPACE = 'bench';
const BUCKET = 'BENCH_SNAPSHOTS';
const KEYS = 10_000;
const TURNS = 5;
const IN_FLIGHT = 500;
const WAIT_MS = 600_000;
const ROWS = 2000;
const CHUNKS = 8;
const TARGET_S = 30;

const env = systemEnv();
const now = (): number => env.clock.monotonic();

interface Rig {
  readonly nc: NatsConnection;
  readonly log: EventLog;
  /** A state in a new file, closed at the end. */
  readonly state: () => DurableStateStore;
  readonly path: () => string;
}

export async function measureFollower(report: Report, events: number, entities: number): Promise<void> {
  await using directory = await temporaryDirectory('bench-follower');
  await using nats = await testNatsServer();
  const nc = await connect(await connectOptions(nats.connection, 'bench'));
  const opened: SqliteStore[] = [];
  let files = 0;
  const path = (): string => join(directory.path, `${files++}.db`);
  try {
    await using session = await wrapConnection(nc, { env });
    const log = await openEventLog(session, { namespace: NAMESPACE });
    const state = (): DurableStateStore => {
      const store = SqliteStore.open({ path: path(), durability: 'process' });
      opened.push(store);
      return stateStore(store);
    };
    const rig: Rig = { nc, log, state, path };
    const leaderState = state();
    const snapshots = { store: await blobSnapshots(session, { bucket: BUCKET }), keepEvents: 0 };
    const shared = { namespace: NAMESPACE, pipeline: log, allowUnprovenPromotion: true, role: 'leader' } as const;
    await using leader = new LeaderFollowerManager({ ...shared, nodeId: 'leader', stateStore: leaderState });
    await leader.start();
    await fill(leader, events);
    await measureApplying(report, rig, leaderState, leader.getAppliedSequence());
    await leader.close();

    // A million writes would take long, and the snapshot is the same.
    await leaderState.replace(batchesOf(entities), leaderState.position());
    await using again = new LeaderFollowerManager({ ...shared, nodeId: 'again', stateStore: leaderState, snapshots });
    await again.start();
    await again.takeSnapshot();
    await measureBootstrap(report, rig, { leaderState, snapshots, entities });
  } finally {
    for (const store of opened) store.close();
    await nc.close();
  }
}

async function fill(leader: LeaderFollowerManager, events: number): Promise<void> {
  for (let from = 0; from < events; from += IN_FLIGHT) {
    const writes = Array.from({ length: Math.min(IN_FLIGHT, events - from) }, (_, i) =>
      leader.write({ key: keyOf((from + i) % KEYS), value: recordOf(from + i), operation: 'update' }),
    );
    const refused = (await Promise.all(writes)).find(({ success }) => !success);
    if (refused !== undefined) throw new Error(refused.error);
  }
}

async function measureApplying(report: Report, rig: Rig, leader: DurableStateStore, end: number): Promise<void> {
  const [ours, bare, sizes] = [new Samples(), new Samples(), new Samples()];
  const hashes = [stateHashOf(leader)];
  for (let turn = 0; turn <= TURNS; turn++) {
    const counted = counting(rig.state());
    const followed = await follow(rig, counted.state, end);
    const state = rig.state();
    const consumed = await consume(rig, state, counted.batches);
    hashes.push(stateHashOf(counted.state), stateHashOf(state));
    if (turn === 0) continue;
    ours.add((end / followed) * 1000);
    bare.add((end / consumed) * 1000);
    for (const { events } of counted.batches) sizes.add(events);
  }
  requireEqual('leader, followers and bare consumers', hashes);
  report.figure('follower_apply', '1/s', ours.p50, bare.p50, { of: 'ratio', atLeast: 0.8 });
  report.figure('follower_commit.p50', 'events', sizes.p50);
}

/** Milliseconds until it has applied everything. */
async function follow(rig: Rig, state: DurableStateStore, end: number): Promise<number> {
  const config = { namespace: NAMESPACE, pipeline: rig.log, nodeId: 'follower', role: 'follower' } as const;
  await using follower = new LeaderFollowerManager({ ...config, stateStore: state });
  const from = now();
  await follower.start();
  await follower.waitForSequence(end, WAIT_MS);
  return now() - from;
}

interface Batch {
  readonly events: number;
  readonly sequence: number;
}

function counting(inner: DurableStateStore): { readonly state: DurableStateStore; readonly batches: Batch[] } {
  const batches: Batch[] = [];
  let before = 0;
  const note = (sequence: number): void => {
    batches.push({ events: sequence - before, sequence });
    before = sequence;
  };
  const apply: DurableStateStore['apply'] = (changes, position) => {
    inner.apply(changes, position);
    note(position.sequence);
  };
  // What a replica of a log writes to where a store has it.
  const encoded = inner.encoded && {
    ...inner.encoded,
    apply: (...[changes, position]: Parameters<DurableStateStore['apply']>) => {
      inner.encoded?.apply(changes, position);
      note(position.sequence);
    },
  };
  const state = new Proxy(inner, {
    get: (target, name) => {
      if (name === 'apply') return apply;
      if (name === 'encoded') return encoded;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  return { state, batches };
}

/** Milliseconds of the same with the client's ordered consumer, in the same commits. */
async function consume({ nc, log }: Rig, state: DurableStateStore, batches: readonly Batch[]): Promise<number> {
  const from = now();
  const consumer = await jetstream(nc).consumers.get(log.name);
  const messages = await consumer.consume();
  let changes: StateChange[] = [];
  let at = 0;
  for await (const message of messages) {
    const record = JSON.parse(message.string()) as { type: string; key: string; value: unknown };
    if (record.type === 'replication.write') changes.push({ key: record.key, value: record.value });
    if (message.seq !== batches[at]?.sequence) continue;
    (state.encoded ?? state).apply(changes, { sequence: message.seq, epoch: 1 });
    changes = [];
    at += 1;
    if (at === batches.length) break;
  }
  return now() - from;
}

interface Bootstrap {
  readonly leaderState: DurableStateStore;
  readonly snapshots: { readonly store: Awaited<ReturnType<typeof blobSnapshots>> };
  readonly entities: number;
}

async function measureBootstrap(
  report: Report,
  rig: Rig,
  { leaderState, snapshots, entities }: Bootstrap,
): Promise<void> {
  const { sequence } = leaderState.position();
  const bareMs = await copyBare(rig, entities);
  const state = rig.state();
  const config = { namespace: NAMESPACE, pipeline: rig.log, nodeId: 'new', role: 'follower' } as const;
  await using follower = new LeaderFollowerManager({
    ...config,
    stateStore: state,
    snapshots: { ...snapshots, take: false, everyEvents: 1 },
  });
  const from = now();
  await follower.start();
  await follower.waitForSequence(sequence, WAIT_MS);
  const ms = now() - from;
  requireEqual('leader and new follower', [stateHashOf(leaderState), stateHashOf(state)]);
  const metric = entities === 1_000_000 ? '1m' : String(entities);
  const target = { of: 'value', atMost: TARGET_S } as const;
  report.figure(`follower_bootstrap_${metric}`, 's', ms / 1000, bareMs / 1000, target);
}

/** Milliseconds from the bucket's stream through JSON into a table, with one prepared statement and nothing checked. */
async function copyBare({ nc, path }: Rig, entities: number): Promise<number> {
  const database = new DatabaseSync(path());
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000;
    PRAGMA wal_autocheckpoint = 4000; CREATE TABLE t(key TEXT PRIMARY KEY, value TEXT)`);
  const put = database.prepare('INSERT INTO t VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value');
  const from = now();
  const stream = `OBJ_${BUCKET}`;
  const manager = await jetstreamManager(nc);
  const config = { ack_policy: AckPolicy.None, filter_subject: `$O.${BUCKET}.C.>` };
  const { name } = await manager.consumers.add(stream, config);
  const consumer = await jetstream(nc).consumers.get(stream, name);
  const decoder = new TextDecoder();
  let rest = '';
  let copied = 0;
  // Pull by pull: a consumer that is read without end stood still here in the middle of a hundred megabytes.
  while (copied < entities)
    for await (const message of await consumer.fetch({ max_messages: CHUNKS, expires: WAIT_MS / 10 })) {
      const texts = (rest + decoder.decode(message.data, { stream: true })).split('\n');
      rest = texts.pop() as string;
      database.exec('BEGIN IMMEDIATE');
      for (const text of texts) {
        const [key, value] = JSON.parse(text) as [string, unknown];
        put.run(key, JSON.stringify(value));
      }
      database.exec('COMMIT');
      copied += texts.length;
      if (copied >= entities) break;
    }
  const ms = now() - from;
  database.close();
  return ms;
}

async function* batchesOf(entities: number): AsyncGenerator<readonly StateChange[]> {
  for (let from = 0; from < entities; from += ROWS)
    yield Array.from({ length: Math.min(ROWS, entities - from) }, (_, i) => ({
      key: keyOf(from + i),
      value: recordOf(from + i),
    }));
}

const keyOf = (n: number): string => `customer-${String(n).padStart(7, '0')}`;
const recordOf = (n: number) => ({
  name: `Customer ${n}`,
  email: `c${n}@example.com`,
  orders: n % 50,
  tags: ['a', 'b'],
});
