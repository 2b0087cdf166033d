/** What is on the wire: readable by the stock client, nothing left behind, damage noticed. */
import { systemEnv } from '@canopy/core';
import { type Blobs, connectNats } from '@canopy/nats';
import { eventually, testNatsServer } from '@canopy/testkit';
import { Objm } from '@nats-io/obj';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { subjectsOf } from '../consumers.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function setup(): Promise<{ blobs: Blobs; nc: NatsConnection; url: string }> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  const session = await connectNats(nats.connection, { name: 'wire', env: systemEnv() });
  onTestFinished(() => session.close());
  return { blobs: await session.ensureBlobs('b'), nc, url: nats.url };
}

test('the stock client reads ours and we read its', async () => {
  const { blobs, nc } = await setup();
  const stock = await new Objm(nc).open('b');
  const large = Uint8Array.from({ length: 3_000_000 }, (_, i) => i % 251);
  const objects = Object.entries({ 'ltx/0/1+a?b': bytes('hello'), large, empty: new Uint8Array(0) });
  for (const [name, data] of objects) {
    await blobs.put(name, data, { headers: { 'Litestream-Timestamp': '2026-01-01T00:00:00Z' } });
    expect(Buffer.compare((await stock.getBlob(name)) ?? bytes('missing'), data), name).toBe(0);
    expect((await stock.info(name))?.headers?.get('Litestream-Timestamp')).toBe('2026-01-01T00:00:00Z');
    await stock.putBlob({ name: `stock-${name}` }, data);
    expect(Buffer.compare((await blobs.read(`stock-${name}`))?.bytes ?? bytes('missing'), data), name).toBe(0);
  }
  expect((await stock.list()).map((info) => info.name).sort()).toEqual(
    (await blobs.list()).map((info) => info.name).sort(),
  );
});

test('a stock tombstone reads as absent, and the name is free for createOnly', async () => {
  const { blobs, nc } = await setup();
  const stock = await new Objm(nc).open('b');
  await stock.putBlob({ name: 'a' }, bytes('1'));
  await stock.delete('a');
  expect(await blobs.info('a')).toBeUndefined();
  expect(await blobs.list()).toEqual([]);
  await blobs.put('a', bytes('2'), { createOnly: true });
  expect(Buffer.from((await stock.getBlob('a')) ?? []).toString()).toBe('2');
});

test('delete leaves no message; a refused put leaves no chunks', async () => {
  const { blobs, url } = await setup();
  await blobs.put('a', new Uint8Array(3_000_000));
  const subjects = await subjectsOf(url, 'OBJ_b');
  expect(subjects).toHaveLength(2);
  await expect(blobs.put('a', bytes('x'), { createOnly: true })).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
  const source = (async function* () {
    yield new Uint8Array(2_000_000);
    throw new Error('source broke');
  })();
  await expect(blobs.put('b', source)).rejects.toThrow('source broke');
  await eventually(async () => (await subjectsOf(url, 'OBJ_b')).length === 2);
  expect((await subjectsOf(url, 'OBJ_b')).sort()).toEqual(subjects.sort());
  await blobs.put('a', bytes('replaced'));
  await eventually(async () => (await subjectsOf(url, 'OBJ_b')).length === 2);
  await blobs.delete('a');
  expect(await subjectsOf(url, 'OBJ_b')).toEqual([]);
});

test('damage is noticed, and deletion during a read is told apart from it', async () => {
  const { blobs, nc } = await setup();
  const stock = await new Objm(nc).open('b');
  await blobs.put('a', new Uint8Array(3_000_000));
  const nuid = (await stock.info('a'))?.nuid;
  await nc.request(`$O.b.C.${nuid}`, bytes('one chunk too many'));
  // The number of chunks is in the entry, so what comes after them is not read at all.
  expect((await blobs.read('a'))?.bytes.length).toBe(3_000_000);
  await nc.request('$JS.API.STREAM.PURGE.OBJ_b', JSON.stringify({ filter: `$O.b.C.${nuid}`, keep: 2 }));
  await expect(blobs.read('a')).rejects.toMatchObject({ code: 'BLOB_CORRUPT' });
  await blobs.put('a', new Uint8Array(5_000_000));
  const blob = await blobs.get('a');
  await blobs.delete('a');
  await expect(async () => {
    for await (const part of blob?.data ?? []) expect(part.length).toBeGreaterThan(0);
  }).rejects.toMatchObject({ code: 'BLOB_GONE' });
});

test('a watcher learns of what was purged without a message', async () => {
  const { blobs, nc } = await setup();
  await blobs.put('a', bytes('1'));
  await blobs.put('b', bytes('1'));
  const seen: string[] = [];
  void (async () => {
    for await (const event of blobs.watch(''))
      seen.push(event.type === 'deleted' ? `deleted ${event.name}` : event.type);
  })();
  await eventually(() => seen.includes('synced'));
  const subject = `$O.b.M.${Buffer.from('a').toString('base64')}`;
  await nc.request('$JS.API.STREAM.PURGE.OBJ_b', JSON.stringify({ filter: subject }));
  await eventually(() => seen.includes('deleted a'), { timeoutMs: 25_000 });
  expect(seen).not.toContain('deleted b');
}, 40_000);

test('what may still become an object is not swept, also by one whose clock is ahead', async () => {
  const { blobs, nc, url } = await setup();
  await blobs.put('a', new Uint8Array(1_500_000));
  await blobs.put('b', bytes('b'));
  await nc.request('$O.b.C.CUTOFF', bytes('half of something'));
  await nc.request('$O.b.C.CUTOFF', bytes('another half'));
  const tombstone = { name: 'c', bucket: 'b', nuid: 'BURIED', size: 0, chunks: 0, mtime: '', deleted: true };
  await nc.request('$O.b.C.BURIED', bytes('of c'));
  await nc.request(`$O.b.M.${Buffer.from('c').toString('base64')}`, JSON.stringify(tombstone));
  const kept = async (): Promise<number> => (await subjectsOf(url, 'OBJ_b')).length;
  expect(await blobs.sweep({ olderThanMs: 60_000 })).toEqual({ orphans: 0 });
  // Nor for one whose clock is hours ahead: it is the server's that counts.
  const env = systemEnv();
  const { clock: now } = env;
  const clock = Object.assign(Object.create(now) as typeof now, { wall: () => now.wall() + 7_200_000 });
  const session = await connectNats({ servers: [url] }, { name: 'later', env: { ...env, clock } });
  onTestFinished(() => session.close());
  expect(await (await session.blobs('b')).sweep({ olderThanMs: 60_000 })).toEqual({ orphans: 0 });
  expect(await kept()).toBe(7);
  expect((await blobs.read('a'))?.bytes.length).toBe(1_500_000);
});

test('a bucket tells the clock by which its objects were written', async () => {
  const { blobs } = await setup();
  const first = await blobs.bucketInfo();
  await blobs.put('a', new Uint8Array(1));
  const { writtenAt } = (await blobs.info('a')) ?? { writtenAt: 0 };
  expect(writtenAt).toBeGreaterThanOrEqual(first.now);
  expect((await blobs.bucketInfo()).now).toBeGreaterThanOrEqual(writtenAt);
});

test('a bucket tells its limits', async () => {
  const { blobs, nc } = await setup();
  expect(await blobs.bucketInfo()).toMatchObject({ maxAgeMs: undefined, discard: 'new', clusterSize: 1 });
  const config = { name: 'OBJ_b', subjects: ['$O.b.C.>', '$O.b.M.>'], storage: 'file', allow_rollup_hdrs: true };
  const changed = { ...config, allow_direct: true, discard: 'old', max_age: 3_600_000_000_000, max_msgs: 50 };
  await nc.request('$JS.API.STREAM.UPDATE.OBJ_b', JSON.stringify(changed));
  expect(await blobs.bucketInfo()).toMatchObject({ maxAgeMs: 3_600_000, discard: 'old', maxMessages: 50, messages: 0 });
});
