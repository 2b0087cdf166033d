/**
 * The event log beside bare JetStream on the same connection and a stream of the same settings, in turns: one append at a time, many at
 * once, and reading. The bare side sends bytes that are ready, without ids or expectations, and decodes nothing.
 */
import { systemEnv } from '@canopy/core';
import { wrapConnection } from '@canopy/nats';
import { connect, connectOptions } from '@canopy/nats/transport';
import { type EventLog, openEventLog } from '@canopy/replication';
import { testNatsServer } from '@canopy/testkit';
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import type { Report } from '../../harness.ts';
import { Samples } from '../../samples.ts';

const EVENT = {
  type: 'replication.write',
  key: 'customer-1',
  value: { name: 'Alice', note: 'x'.repeat(150) },
  epoch: 7,
};
const BYTES = Buffer.from(JSON.stringify(EVENT));
const BARE = { name: 'BARE', subject: 'bare.events' };
const IN_FLIGHT = 256;
const TURNS = 5;

const env = systemEnv();
const now = (): number => env.clock.monotonic();

export async function measureLog(report: Report, rounds: number, bulk: number): Promise<void> {
  await using nats = await testNatsServer();
  const nc = await connect(await connectOptions(nats.connection, 'bench'));
  try {
    await using session = await wrapConnection(nc, { env });
    const log = await openEventLog(session, { namespace: 'bench' });
    await session.ensureStream(BARE.name, { subjects: [BARE.subject] });
    const js = jetstream(nc);
    await oneByOne(report, log, js, rounds);
    await manyAtOnce(report, log, js, bulk);
    await reading(report, log, js);
  } finally {
    await nc.close();
  }
}

async function oneByOne(report: Report, log: EventLog, js: JetStreamClient, rounds: number): Promise<void> {
  const [plain, conditional, bare] = [new Samples(), new Samples(), new Samples()];
  const timed = async <T>(samples: Samples, work: () => Promise<T>): Promise<T> => {
    const from = now();
    const result = await work();
    samples.add(now() - from);
    return result;
  };
  for (let round = 0; round < rounds; round++) {
    const { sequence } = await timed(plain, () => log.append(EVENT));
    await timed(bare, () => js.publish(BARE.subject, BYTES));
    await timed(conditional, () => log.append(EVENT, { expectedLastSequence: sequence, messageId: `m${round}` }));
  }
  const target = { of: 'ratio', atMost: 1.3 } as const;
  report.figure('log_append.p50', 'ms', plain.p50, bare.p50, target);
  report.figure('log_append.p99', 'ms', plain.p99, bare.p99);
  report.figure('log_append_conditional.p50', 'ms', conditional.p50, bare.p50, target);
}

async function manyAtOnce(report: Report, log: EventLog, js: JetStreamClient, count: number): Promise<void> {
  const [ours, chained, bare] = [new Samples(), new Samples(), new Samples()];
  const rate = async (samples: Samples, send: (n: number) => Promise<unknown>): Promise<void> => {
    const from = now();
    const flight: Promise<unknown>[] = [];
    for (let n = 0; n < count; n++) {
      if (flight.length >= IN_FLIGHT) await flight.shift();
      flight.push(send(n));
    }
    await Promise.all(flight);
    samples.add((count / (now() - from)) * 1000);
  };
  for (let turn = 0; turn < TURNS; turn++) {
    await rate(ours, () => log.append(EVENT));
    await rate(bare, () => js.publish(BARE.subject, BYTES));
    const { lastSequence } = await log.info();
    await rate(chained, (n) => log.append(EVENT, { expectedLastSequence: lastSequence + n }));
  }
  report.figure('log_append_many', '1/s', ours.p50, bare.p50);
  report.figure('log_append_chain', '1/s', chained.p50, bare.p50);
}

async function reading(report: Report, log: EventLog, js: JetStreamClient): Promise<void> {
  const [ours, bare] = [new Samples(), new Samples()];
  for (let turn = 0; turn < TURNS; turn++) {
    let events = 0;
    let from = now();
    for await (const told of log.read()) {
      if (told.type === 'event') events += 1;
      else if (told.type === 'caught-up') break;
    }
    ours.add((events / (now() - from)) * 1000);
    events = 0;
    from = now();
    const messages = await (await js.consumers.get(BARE.name)).consume();
    for await (const message of messages) {
      events += 1;
      if (message.info.pending === 0) break;
    }
    bare.add((events / (now() - from)) * 1000);
  }
  report.figure('log_read', '1/s', ours.p50, bare.p50);
}
