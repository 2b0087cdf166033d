/** The log while its server is killed with SIGKILL and started again, or frozen. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type EventLog, type LogReadEvent, openEventLog } from '@canopy/replication';
import { eventually, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { failure, record } from './event-log.contract.ts';

interface World {
  readonly nats: TestNatsServer;
  open(create?: boolean): Promise<EventLog>;
  session(): Promise<NatsSession>;
}

async function start(): Promise<World> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const session = async (): Promise<NatsSession> => {
    const made = await connectNats(nats.connection, { name: 'log', env: systemEnv() });
    onTestFinished(() => made.close());
    return made;
  };
  return { nats, session, open: async (create = true) => openEventLog(await session(), { namespace: 'n', create }) };
}

const events = (seen: readonly LogReadEvent[]): unknown[] =>
  seen.flatMap((told) => (told.type === 'event' ? [told.event] : []));

test('writers and readers across restarts: each acknowledged event once, in order, by every reader', async () => {
  const { nats, open } = await start();
  const log = await open();
  const other = await open();
  const readers = [record(other), record(other, { topic: 'a' }), record(await open(), { after: 5 })];
  let written = 0;
  let stop = false;
  const sequences: number[] = [];
  /** A leader: each append expects the end that it knows. */
  const writing = (async () => {
    while (!stop) {
      const end = sequences.length;
      const chain = Array.from({ length: 10 }, (_, n) =>
        log.append(written++, { expectedLastSequence: end + n, topic: 'a', timeoutMs: 30_000 }),
      );
      sequences.push(...(await Promise.all(chain)).map(({ sequence }) => sequence));
    }
  })();
  for (let round = 0; round < 3; round++) {
    const before = sequences.length;
    const read = readers.map(({ seen }) => events(seen).length);
    await eventually(() => sequences.length > before + 60);
    await eventually(() => readers.every(({ seen }, at) => events(seen).length > (read[at] as number) + 50));
    await nats.server.kill();
    await nats.server.restart();
  }
  stop = true;
  await writing;
  expect(sequences).toEqual(sequences.map((_, n) => n + 1));
  const all = Array.from({ length: written }, (_, n) => n);
  for (const [at, { seen }] of readers.entries()) {
    const wanted = at === 2 ? all.slice(5) : all;
    await eventually(() => events(seen).length >= wanted.length);
    expect(events(seen)).toEqual(wanted);
    expect(seen.some(({ type }) => type === 'trimmed')).toBe(false);
    // After an interruption it is told anew when it has caught up.
    await eventually(
      () =>
        seen.findLastIndex(({ type }) => type === 'caught-up') > seen.findIndex(({ type }) => type === 'interrupted'),
    );
  }
});

test('an append of which nobody knows whether it was taken is taken once when it is repeated', async () => {
  const { nats, open } = await start();
  const log = await open();
  await log.append('first', { expectedLastSequence: 0 });
  nats.server.freeze();
  const options = { messageId: 'm', expectedLastSequence: 1, timeoutMs: 500 };
  expect(await failure(log.append('second', options))).toBe('DEADLINE_EXCEEDED');
  nats.server.thaw();
  const other = await open();
  expect((await other.append('second', { ...options, timeoutMs: 20_000 })).sequence).toBe(2);
  expect((await log.append('second', { ...options, timeoutMs: 20_000 })).sequence).toBe(2);
  expect((await log.info()).lastSequence).toBe(2);
});

test('what could not be sent is certainly not in the log', async () => {
  const { nats, open, session } = await start();
  const log = await open();
  await nats.server.kill();
  await eventually(async () => (await failure(log.append(1, { timeoutMs: 300 }))) === 'EVENT_LOG_UNAVAILABLE');
  expect(await failure(log.info({ timeoutMs: 300 }))).toBe('EVENT_LOG_UNAVAILABLE');
  const waiting = log.append(2, { timeoutMs: 20_000 });
  await nats.server.restart();
  const { sequence } = await waiting;
  const { seen } = record(log);
  await eventually(() => seen.length > sequence);
  expect(events(seen).at(-1)).toBe(2);
  const late = await session();
  expect(await failure(openEventLog(late, { namespace: 'another', create: false }))).toBe('EVENT_LOG_MISSING');
  await late.close();
});
