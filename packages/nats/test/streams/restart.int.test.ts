/** Streams while their server is killed with SIGKILL and comes back with its data. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession, type StreamReadEvent } from '@canopy/nats';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { consumerNames } from '../consumers.ts';

const env = systemEnv();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

async function start(): Promise<{ nats: TestNatsServer; open: () => Promise<NatsSession> }> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const open = async (): Promise<NatsSession> => {
    const session = await connectNats(nats.connection, { name: 'streams', env });
    onTestFinished(() => session.close());
    return session;
  };
  return { nats, open };
}

test('appends and readers across restarts: nothing lost, nothing twice, everything in order', async () => {
  const { nats, open } = await start();
  const session = await open();
  const stream = await session.ensureStream('s', { subjects: ['s.>'] });
  const reader = await (await open()).stream('s');
  const end = new AbortController();
  onTestFinished(() => end.abort());
  const seen: StreamReadEvent[] = [];
  void (async () => {
    for await (const event of reader.read({ filter: 's.a', signal: end.signal })) seen.push(event);
  })();
  const values = (): number[] => seen.flatMap((e) => (e.type === 'message' ? [Number(text(e.message.data))] : []));
  let sent = 0;
  let stop = false;
  const sequences: number[] = [];
  const appending = (async () => {
    while (!stop) {
      const batch = Array.from({ length: 20 }, () =>
        stream.append('s.a', bytes(`${sent++}`), { timeoutMs: 30_000 }).then(({ sequence, duplicate }) => {
          expect(duplicate).toBe(false);
          sequences.push(sequence);
        }),
      );
      batch.push(stream.append('s.b', bytes('other'), { timeoutMs: 30_000 }).then(() => {}));
      await Promise.all(batch);
    }
  })();
  for (let round = 1; round <= 3; round++) {
    const before = sequences.length;
    const read = values().length;
    await eventually(() => sequences.length > before + 100 && values().length > read + 100);
    await nats.server.kill();
    await nats.server.restart();
    await eventually(() => seen.filter(({ type }) => type === 'interrupted').length >= round);
  }
  stop = true;
  await appending;
  await eventually(() => values().length >= sent);
  expect(values()).toEqual(Array.from({ length: sent }, (_, n) => n));
  expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  expect(seen.some(({ type }) => type === 'trimmed')).toBe(false);
  await eventually(async () => (await consumerNames(nats.url, 's')).length === 1);
  end.abort();
  await eventually(async () => (await consumerNames(nats.url, 's')).length === 0);
});

test('a chain of conditional appends across a restart is unbroken', async () => {
  const { nats, open } = await start();
  const stream = await (await open()).ensureStream('s', { subjects: ['s.>'] });
  let next = 0;
  for (let round = 0; round < 3; round++) {
    const chain = Array.from({ length: 200 }, () =>
      stream.append('s.a', bytes(`${next}`), { expectedLastSequence: next++, timeoutMs: 30_000 }),
    );
    const killed = (async () => {
      await chain[10];
      await nats.server.kill();
      await nats.server.restart();
    })();
    const results = await Promise.all(chain);
    expect(results.map(({ sequence }) => sequence)).toEqual(results.map((_, n) => next - 200 + n + 1));
    await killed;
  }
  expect((await stream.info()).messages).toBe(600);
});

test('a durable consumer goes on after a restart, and what was not acknowledged comes again', async () => {
  const { nats, open } = await start();
  const stream = await (await open()).ensureStream('s', { subjects: ['s.>'] });
  const consumer = await stream.consumer('worker', { ackWaitMs: 2000 });
  for (let n = 0; n < 30; n++) await stream.append('s.a', bytes(`${n}`));
  const done = new Set<string>();
  const first = await consumer.fetch({ max: 10 });
  for (const delivery of first.slice(0, 5)) {
    await delivery.ack();
    done.add(text(delivery.data));
  }
  const fetching = consumer.fetch({ max: 10, waitMs: 20_000 });
  await nats.server.kill();
  await nats.server.restart();
  const attempts: number[] = [];
  for (const delivery of await fetching) {
    await delivery.ack();
    done.add(text(delivery.data));
  }
  await eventually(async () => {
    for (const delivery of await consumer.fetch({ waitMs: 500 })) {
      await delivery.ack();
      done.add(text(delivery.data));
      attempts.push(delivery.attempt);
    }
    return done.size === 30;
  });
  expect(Math.max(...attempts)).toBeGreaterThan(1);
  expect(await consumer.info()).toMatchObject({ pending: 0, ackPending: 0 });
});

test('a reader does not go on with another stream of the same name', async () => {
  const { nats, open } = await start();
  const session = await open();
  const stream = await session.ensureStream('s', { subjects: ['s.>'] });
  await stream.append('s.a', bytes('1'));
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of stream.read()) seen.push(event.type);
  })();
  const code = reading.then(
    () => 'ended',
    (error: { code?: string }) => error.code,
  );
  await eventually(() => seen.includes('caught-up'));
  const { jetstreamManager } = await import('@nats-io/jetstream');
  const { connect } = await import('@nats-io/transport-node');
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  await (await jetstreamManager(nc)).streams.delete('s');
  await (await open()).ensureStream('s', { subjects: ['s.>'] });
  expect(await code).toBe('STREAM_MISSING');
});
