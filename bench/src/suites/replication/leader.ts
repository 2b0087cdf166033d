/**
 * A leader's writes beside bare JetStream publishes of as many bytes on the same connection: one at a time in turns, and many at once.
 * The leader keeps its state in a file and answers when stream and file have the write; the bare side keeps nothing. Once on a server that
 * flushes every message, as the product's does, and once, as `unflushed`, on one that leaves that to the system: there the processor counts.
 */
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { wrapConnection } from '@canopy/nats';
import { connect, connectOptions } from '@canopy/nats/transport';
import { LeaderFollowerManager, openEventLog, SqliteStore, stateStore } from '@canopy/replication';
import { temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { jetstream } from '@nats-io/jetstream';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';
import { requireEqual, stateHashOf } from './equal.ts';

const BARE = { name: 'BARE', subject: 'bare.events' };
const IN_FLIGHT = 256;
const TURNS = 5;

const env = systemEnv();
const now = (): number => env.clock.monotonic();

export async function measureLeader(report: Report, rounds: number, bulk: number): Promise<void> {
  await measureOn({ syncAlways: true }, report, '', rounds, bulk);
  await measureOn({ syncAlways: false }, report, '_unflushed', rounds, bulk);
}

async function measureOn(
  server: { readonly syncAlways: boolean },
  report: Report,
  suffix: string,
  rounds: number,
  bulk: number,
): Promise<void> {
  await using directory = await temporaryDirectory('bench-leader');
  await using nats = await testNatsServer(server);
  const nc = await connect(await connectOptions(nats.connection, 'bench'));
  const stores = ['leader', 'follower'].map((name) =>
    SqliteStore.open({ path: join(directory.path, `${name}.db`), durability: 'process' }),
  ) as [SqliteStore, SqliteStore];
  try {
    await using session = await wrapConnection(nc, { env });
    await session.ensureStream(BARE.name, { subjects: [BARE.subject] });
    const log = await openEventLog(session, { namespace: 'bench' });
    const [leaderState, followerState] = [stateStore(stores[0]), stateStore(stores[1])];
    const common = { namespace: 'bench', pipeline: log, allowUnprovenPromotion: true } as const;
    await using leader = new LeaderFollowerManager({
      ...common,
      nodeId: 'leader',
      role: 'leader',
      stateStore: leaderState,
    });
    await leader.start();
    const js = jetstream(nc);
    const write = async (n: number): Promise<void> => {
      const result = await leader.write({ key: `customer-${n % 1000}`, value: dataOf(n), operation: 'update' });
      if (!result.success) throw new Error(result.error);
    };
    const publish = (n: number): Promise<unknown> => js.publish(BARE.subject, recordOf(n));
    await oneByOne(report, suffix, rounds, write, publish);
    await manyAtOnce(report, suffix, bulk, write, publish);

    await using follower = new LeaderFollowerManager({
      ...common,
      nodeId: 'follower',
      role: 'follower',
      stateStore: followerState,
    });
    await follower.start();
    await follower.waitForSequence(leader.getAppliedSequence(), 120_000);
    requireEqual('leader and follower', [stateHashOf(leaderState), stateHashOf(followerState)]);
  } finally {
    for (const store of stores) store.close();
    await nc.close();
  }
}

type Work = (n: number) => Promise<unknown>;

async function oneByOne(report: Report, suffix: string, rounds: number, write: Work, publish: Work): Promise<void> {
  const [ours, bare] = [new Samples(), new Samples()];
  const warmUp = Math.ceil(rounds / 10);
  for (let round = 0; round < rounds + warmUp; round++)
    for (const [samples, work] of [
      [ours, write],
      [bare, publish],
    ] as const) {
      const from = now();
      await work(round);
      if (round >= warmUp) samples.add(now() - from);
    }
  const target = { of: 'ratio', atMost: 1.3 } as const;
  report.figure(`leader_write${suffix}.p50`, 'ms', ours.p50, bare.p50, target);
  report.figure(`leader_write${suffix}.p99`, 'ms', ours.p99, bare.p99, target);
}

async function manyAtOnce(report: Report, suffix: string, count: number, write: Work, publish: Work): Promise<void> {
  const [ours, bare] = [new Samples(), new Samples()];
  for (let turn = 0; turn < TURNS; turn++)
    for (const [samples, work] of [
      [ours, write],
      [bare, publish],
    ] as const) {
      const from = now();
      const flight: Promise<unknown>[] = [];
      for (let n = 0; n < count; n++) {
        if (flight.length >= IN_FLIGHT) await flight.shift();
        flight.push(work(n));
      }
      await Promise.all(flight);
      samples.add((count / (now() - from)) * 1000);
    }
  report.figure(`leader_writes_many${suffix}`, '1/s', ours.p50, bare.p50);
}

function dataOf(n: number): { name: string; orders: number; note: string } {
  return { name: 'Alice', orders: n, note: 'x'.repeat(150) };
}

/** As many bytes as the leader's record has. */
function recordOf(n: number): Uint8Array {
  const record = { type: 'replication.write', namespace: 'bench', epoch: 1, number: n, node: 'leader' };
  const rest = { timestamp: 1_700_000_000_000, key: `customer-${n % 1000}`, operation: 'update', value: dataOf(n) };
  return Buffer.from(JSON.stringify({ ...record, ...rest }));
}
