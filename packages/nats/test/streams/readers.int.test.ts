/** What a reader asks of its server, and what it does when that forgets it. */
import { systemEnv } from '@canopy/core';
import { connectNats, type Stream, type StreamReadEvent } from '@canopy/nats';
import { eventually, testNatsServer } from '@canopy/testkit';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { consumerNames } from '../consumers.ts';

async function start(): Promise<{ url: string; stream: Stream; nc: NatsConnection }> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const session = await connectNats(nats.connection, { name: 'readers', env: systemEnv() });
  onTestFinished(() => session.close());
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  return { url: nats.url, stream: await session.ensureStream('s', { subjects: ['s.>'] }), nc };
}

const fill = (stream: Stream, count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => stream.append('s.a', new Uint8Array(200))));

test('a reader that stands still is sent no more than it can hold', async () => {
  const { url, stream, nc } = await start();
  await fill(stream, 5000);
  const reading = stream.read()[Symbol.asyncIterator]();
  await reading.next();
  const [name] = await consumerNames(url, 's');
  const delivered = async (): Promise<number> =>
    (await nc.request(`$JS.API.CONSUMER.INFO.s.${name}`)).json<{ delivered: { consumer_seq: number } }>().delivered
      .consumer_seq;
  await eventually(async () => (await delivered()) >= 256);
  for (let look = 0; look < 5; look++) {
    await systemEnv().clock.sleep(50);
    expect(await delivered()).toBeLessThanOrEqual(600);
  }
  let last = 1;
  for (;;) {
    const { value, done } = await reading.next();
    if (done || value.type === 'caught-up') break;
    if (value.type === 'message') expect(value.message.sequence).toBe(++last);
  }
  expect(last).toBe(5000);
  await reading.return?.();
  await eventually(async () => (await consumerNames(url, 's')).length === 0);
});

test('a reader whose consumer was removed goes on with another', async () => {
  const { url, stream, nc } = await start();
  const end = new AbortController();
  onTestFinished(() => end.abort());
  const seen: StreamReadEvent[] = [];
  void (async () => {
    for await (const event of stream.read({ signal: end.signal })) seen.push(event);
  })();
  const sequences = (): number[] => seen.flatMap((event) => (event.type === 'message' ? [event.message.sequence] : []));
  for (let round = 1; round <= 3; round++) {
    await fill(stream, 10);
    await eventually(() => sequences().length === round * 10);
    const [name] = await consumerNames(url, 's');
    await nc.request(`$JS.API.CONSUMER.DELETE.s.${name}`);
    await eventually(() => seen.filter(({ type }) => type === 'interrupted').length === round);
    await eventually(() => seen.filter(({ type }) => type === 'caught-up').length === round + 1);
  }
  expect(sequences()).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
});
