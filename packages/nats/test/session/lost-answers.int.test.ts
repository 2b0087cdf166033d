/** Writes whose answers are lost on the way: the proxy holds them back and then breaks the connection. */
import { systemEnv } from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { eventually, TcpProxy, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';

const env = systemEnv();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function setup(): Promise<{ proxy: TcpProxy; near: NatsSession; far: NatsSession }> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const proxy = await TcpProxy.start(nats.url);
  onTestFinished(() => proxy.stop());
  const near = await connectNats(nats.connection, { name: 'near', env });
  onTestFinished(() => near.close());
  const far = await connectNats({ servers: [proxy.url] }, { name: 'far', env });
  onTestFinished(() => far.close());
  return { proxy, near, far };
}

/** Begins `write` through a slow way back, waits until the server has it, and breaks the connection before its answer. */
async function loseAnswer<T>(proxy: TcpProxy, stored: () => Promise<boolean>, write: () => Promise<T>): Promise<T> {
  proxy.delay(400, 'down');
  const writing = write();
  writing.catch(() => {});
  await eventually(stored, { everyMs: 5 });
  proxy.cut();
  proxy.delay(0, 'down');
  return writing;
}

const holds = (kv: Kv, key: string, value: string) => async (): Promise<boolean> =>
  Buffer.from((await kv.get(key))?.value ?? []).toString() === value;

test('a conditional write is repeated and counts once', async () => {
  const { proxy, near, far } = await setup();
  const direct = await near.ensureKv('b');
  const kv = await far.kv('b');
  const created = await loseAnswer(proxy, holds(direct, 'k', '1'), () => kv.create('k', bytes('1')));
  const updated = await loseAnswer(proxy, holds(direct, 'k', '2'), () => kv.update('k', bytes('2'), created));
  expect((await direct.get('k'))?.revision).toBe(updated);
  expect(updated).toBe(created + 1);
  const gone = async (): Promise<boolean> => (await direct.get('k')) === undefined;
  const deleted = await loseAnswer(proxy, gone, () => kv.delete('k', updated));
  expect(deleted).toBe(updated + 1);
});

test('one that was overwritten meanwhile is never reported as a conflict', async () => {
  const { proxy, near, far } = await setup();
  const direct = await near.ensureKv('b');
  const kv = await far.kv('b');
  let mine = 0;
  const stored = async (): Promise<boolean> => {
    const entry = await direct.get('k');
    if (entry === undefined) return false;
    mine = entry.revision;
    await direct.update('k', bytes('theirs'), mine);
    return true;
  };
  // It was carried out. A server that still remembers the message id says so; without that nobody can know.
  const outcome = await loseAnswer(proxy, stored, () => kv.create('k', bytes('mine'))).catch((error) => error.code);
  expect([mine, 'DEADLINE_EXCEEDED']).toContain(outcome);
  expect(await holds(direct, 'k', 'theirs')()).toBe(true);
});

test('an unconditional write is stored once', async () => {
  const { proxy, near, far } = await setup();
  const direct = await near.ensureKv('b');
  const kv = await far.kv('b');
  const revision = await loseAnswer(proxy, holds(direct, 'k', '1'), () => kv.put('k', bytes('1')));
  expect((await direct.get('k'))?.revision).toBe(revision);
  expect((await direct.info()).lastRevision).toBe(revision);
});

test('a deadline that passes without the answer is reported as such, not guessed', async () => {
  const { proxy, near, far } = await setup();
  const direct = await near.ensureKv('b');
  const kv = await far.kv('b');
  proxy.drop('down');
  await expect(kv.create('k', bytes('1'), { timeoutMs: 400 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  expect(await holds(direct, 'k', '1')()).toBe(true);
  proxy.cut();
  await proxy.heal();
  await eventually(() => far.status().connected && far.status().reconnects === 1);
  await expect(kv.create('k', bytes('2'))).rejects.toMatchObject({ code: 'KV_CONFLICT' });
});

test('an object is created once, and its own entry is no conflict', async () => {
  const { proxy, near, far } = await setup();
  const direct = await near.ensureBlobs('b');
  const blobs = await far.blobs('b');
  const present = async (): Promise<boolean> => (await direct.info('o')) !== undefined;
  const info = await loseAnswer(proxy, present, () => blobs.put('o', bytes('mine'), { createOnly: true }));
  expect((await direct.info('o'))?.revision).toBe(info.revision);
  await expect(blobs.put('o', bytes('again'), { createOnly: true })).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
});
