/** A server that is killed with SIGKILL and comes back with its data on the same port. */
import { isDeepStrictEqual } from 'node:util';
import { type CanopyError, systemEnv } from '@canopy/core';
import { type BlobWatchEvent, connectNats, type KvWatchEvent, type NatsSession } from '@canopy/nats';
import { eventually, processState, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { consumerNames } from '../consumers.ts';

const env = systemEnv();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

async function start(): Promise<{ nats: TestNatsServer; open: () => Promise<NatsSession> }> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const open = async (): Promise<NatsSession> => {
    const session = await connectNats(nats.connection, { name: 'restart', env });
    onTestFinished(() => session.close());
    return session;
  };
  return { nats, open };
}

function record<E>(events: AsyncIterable<E>): E[] {
  const seen: E[] = [];
  void (async () => {
    for await (const event of events) seen.push(event);
  })();
  return seen;
}

/** What a reader of the events knows at the end. */
function stateOf(events: readonly KvWatchEvent[]): Record<string, string> {
  const state: Record<string, string> = {};
  for (const event of events) {
    if (event.type !== 'entry') continue;
    if (event.entry.operation === 'delete') delete state[event.entry.key];
    else state[event.entry.key] = text(event.entry.value);
  }
  return state;
}

const count = (events: readonly { type: string }[], type: string): number =>
  events.filter((event) => event.type === type).length;

test('sessions reconnect, watches say what they missed, and no consumer is left behind', async () => {
  const { nats, open } = await start();
  const session = await open();
  const kv = await session.ensureKv('b');
  const blobs = await session.ensureBlobs('b');
  const writer = await (await open()).kv('b');
  await kv.put('stays', bytes('0'));
  const watches = Array.from({ length: 50 }, () => record(kv.watch('>')));
  const seen = watches[0] as KvWatchEvent[];
  const objects: BlobWatchEvent[] = record(blobs.watch(''));
  await eventually(() => watches.every((events) => count(events, 'synced') === 1) && count(objects, 'synced') === 1);
  for (let round = 1; round <= 4; round++) {
    const doomed = await writer.put(`doomed.${round}`, bytes('x'));
    await nats.server.kill();
    await eventually(() => count(seen, 'interrupted') === round, { what: `interruption ${round}` });
    await nats.server.restart();
    // These race with the watch's recovery, on purpose.
    await writer.put('stays', bytes(`${round}`));
    await writer.delete(`doomed.${round}`, doomed);
    await writer.create(`new.${round}`, bytes('x'));
    await blobs.put(`object.${round}`, bytes('x'));
    await eventually(() => watches.every((events) => count(events, 'synced') === round + 1), {
      what: `synced after restart ${round}`,
    });
    await eventually(
      () =>
        count(objects, 'synced') === round + 1 &&
        objects.some((event) => event.type === 'put' && event.blob.name === `object.${round}`),
    );
    const expected = {
      stays: `${round}`,
      ...Object.fromEntries(Array.from({ length: round }, (_, i) => [`new.${i + 1}`, 'x'])),
    };
    for (const events of watches) await eventually(() => isDeepStrictEqual(stateOf(events), expected));
    await eventually(async () => (await consumerNames(nats.url, 'KV_b')).length === 1);
    await eventually(async () => (await consumerNames(nats.url, 'OBJ_b')).length === 1);
  }
  expect(session.status().reconnects).toBe(4);
  await session.close();
  await eventually(async () => (await consumerNames(nats.url, 'KV_b')).length === 0);
  expect(await consumerNames(nats.url, 'OBJ_b')).toEqual([]);
}, 90_000);

test('a key that went away while the watch was down is told as deleted', async () => {
  const { nats, open } = await start();
  const session = await open();
  const kv = await session.ensureKv('b', { ttlMs: 2000 });
  const seen = record(kv.watch('>'));
  await eventually(() => count(seen, 'synced') === 1);
  const revision = await kv.put('lease', bytes('x'));
  await eventually(() => stateOf(seen).lease === 'x');
  await nats.server.kill();
  await env.clock.sleep(2200);
  await nats.server.restart();
  await eventually(() => count(seen, 'synced') === 2);
  await eventually(() => stateOf(seen).lease === undefined);
  const deletion = seen.find((event) => event.type === 'entry' && event.entry.operation === 'delete');
  expect(deletion).toMatchObject({ entry: { key: 'lease', revision } });
}, 60_000);

test('a call that was never sent fails as such; one in flight is carried out once', async () => {
  const { nats, open } = await start();
  const session = await open();
  const kv = await session.ensureKv('b');
  const first = await kv.create('k', bytes('0'));
  await nats.server.kill();
  await eventually(() => !session.status().connected);
  await expect(kv.update('k', bytes('1'), first, { timeoutMs: 300 })).rejects.toMatchObject({
    code: 'NATS_UNREACHABLE',
  });
  const waiting = kv.update('k', bytes('2'), first, { timeoutMs: 20_000 });
  await nats.server.restart();
  const second = await waiting;
  expect((await kv.get('k'))?.revision).toBe(second);
}, 60_000);

test('conditional writes under restarts: what was reported done is done, and nothing is done twice', async () => {
  const { nats, open } = await start();
  const session = await open();
  const kv = await session.ensureKv('b');
  let revision = await kv.create('n', bytes('0'));
  let value = 0;
  let unknown = 0;
  let stop = false;
  const counting = (async () => {
    while (!stop) {
      try {
        revision = await kv.update('n', bytes(`${value + 1}`), revision, { timeoutMs: 10_000 });
        value += 1;
      } catch (error) {
        expect((error as CanopyError).code).toBe('DEADLINE_EXCEEDED');
        unknown += 1;
        const entry = await kv.get('n', { timeoutMs: 20_000 });
        expect([value, value + 1]).toContain(Number(text(entry?.value as Uint8Array)));
        value = Number(text(entry?.value as Uint8Array));
        revision = entry?.revision as number;
      }
    }
  })();
  for (let round = 0; round < 4; round++) {
    const before = value;
    await eventually(() => value > before + 20);
    await nats.server.kill();
    await nats.server.restart();
  }
  stop = true;
  await counting;
  expect(text((await kv.get('n'))?.value as Uint8Array)).toBe(`${value}`);
  expect(unknown).toBe(0);
}, 90_000);

test('a frozen server is noticed and calls end at their deadlines', async () => {
  const { nats, open } = await start();
  const session = await open();
  const kv = await session.ensureKv('b');
  const revision = await kv.create('k', bytes('0'));
  const seen = record(kv.watch('>'));
  await eventually(() => count(seen, 'synced') === 1);
  nats.server.freeze();
  await eventually(() => processState(nats.server.pid) === 'T');
  const started = env.clock.monotonic();
  await expect(kv.update('k', bytes('1'), revision, { timeoutMs: 700 })).rejects.toMatchObject({
    code: 'DEADLINE_EXCEEDED',
  });
  expect(env.clock.monotonic() - started).toBeLessThan(1500);
  await eventually(() => count(seen, 'interrupted') === 1, { timeoutMs: 6000 });
  nats.server.thaw();
  await eventually(() => count(seen, 'synced') === 2);
}, 60_000);
