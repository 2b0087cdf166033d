import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CanopyError, type ConnectionSpec, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession, wrapConnection } from '@canopy/nats';
import { eventually, freePort, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { connect } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';

const env = systemEnv();
const secret = 'hunter2-secret';

async function failure(spec: ConnectionSpec): Promise<CanopyError> {
  let session: NatsSession;
  try {
    session = await connectNats(spec, { name: 'test', env, timeoutMs: 3000 });
  } catch (error) {
    if (!CanopyError.is(error)) throw error;
    expect(JSON.stringify(error)).not.toContain(secret);
    return error;
  }
  await session.close();
  throw new Error('connected');
}

test('what is no URL is refused before anything is dialled, without its password', async () => {
  for (const url of ['', 'http://host:4222', 'nats://', 'nats://host:99999', `amqp://me:${secret}@host`, 'nats://a b'])
    expect((await failure({ servers: [url] })).code, url).toBe('NATS_URL_INVALID');
  expect((await failure({ servers: [] })).code).toBe('NATS_URL_INVALID');
});

test('nobody there', async () => {
  const error = await failure({ servers: [`nats://me:${secret}@127.0.0.1:${await freePort()}`] });
  expect(error).toMatchObject({ code: 'NATS_UNREACHABLE', retryable: true });
  expect((await failure({ servers: ['nats://no-such-host.invalid:4222'] })).code).toBe('NATS_UNREACHABLE');
});

test('waitForServer waits for one that comes later', async () => {
  const port = await freePort();
  const spec = { servers: [`nats://127.0.0.1:${port}`] };
  const connecting = connectNats(spec, { name: 'early', env, timeoutMs: 20_000, waitForServer: true });
  await testNatsServer({ port, onCleanup: onTestFinished });
  const session = await connecting;
  expect(session.status().connected).toBe(true);
  await session.close();
});

test('wrong credentials, right ones, and those in the URL', async () => {
  const { server } = await testNatsServer({ auth: { user: 'me', password: secret }, onCleanup: onTestFinished });
  const servers = [server.url];
  expect((await failure({ servers })).code).toBe('NATS_AUTH');
  expect((await failure({ servers, user: 'me', password: `not-${secret}` })).code).toBe('NATS_AUTH');
  expect((await failure({ servers: [server.url.replace('//', `//me:wrong${secret}@`)] })).code).toBe('NATS_AUTH');
  for (const spec of [
    { servers, user: 'me', password: secret },
    { servers: [server.url.replace('//', `//me:${secret}@`)] },
  ])
    await (await connectNats(spec, { name: 'test', env })).close();
});

test('a credentials file that is missing', async () => {
  const error = await failure({ servers: ['nats://127.0.0.1:4222'], credentials: '/no/such/file.creds' });
  expect(error.code).toBe('NATS_CREDENTIALS_UNREADABLE');
  expect(error.message).toContain('/no/such/file.creds');
});

test('JetStream off', async () => {
  const { connection } = await testNatsServer({ jetstream: false, onCleanup: onTestFinished });
  expect((await failure(connection)).code).toBe('JETSTREAM_DISABLED');
});

test('a bucket that vanishes is missing, not empty', async () => {
  const { connection } = await testNatsServer({ onCleanup: onTestFinished });
  const session = await connectNats(connection, { name: 'test', env });
  const admin = await connect({ servers: connection.servers[0] as string });
  onTestFinished(() => admin.close());
  onTestFinished(() => session.close());
  const kv = await session.ensureKv('b');
  const blobs = await session.ensureBlobs('b');
  const revision = await kv.put('k', new Uint8Array(1));
  await blobs.put('o', new Uint8Array(1));
  for (const stream of ['KV_b', 'OBJ_b']) await admin.request(`$JS.API.STREAM.DELETE.${stream}`);
  for (const work of [
    () => kv.get('k'),
    () => kv.put('k', new Uint8Array(1)),
    () => kv.update('k', new Uint8Array(1), revision),
    () => kv.create('x', new Uint8Array(1)),
    () => kv.keys(),
    () => kv.info(),
    () => session.kv('b'),
  ])
    await expect(work(), String(work)).rejects.toMatchObject({ code: 'KV_BUCKET_MISSING' });
  for (const work of [
    () => blobs.put('o', new Uint8Array(1)),
    () => blobs.put('o', new Uint8Array(3_000_000), { createOnly: true }),
    () => blobs.read('o'),
    () => blobs.list(),
    () => blobs.delete('o'),
    () => blobs.bucketInfo(),
    () => session.blobs('b'),
  ])
    await expect(work(), String(work)).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
});

test('what the server does not permit is said at once', async () => {
  const directory = await temporaryDirectory('permissions');
  onTestFinished(() => directory.remove());
  const { server } = await testNatsServer({ dataDir: directory.path, onCleanup: onTestFinished });
  const session = await connectNats(server.connection, { name: 'owner', env });
  await session.ensureKv('b');
  await session.close();
  // The same data, behind a configuration with a user who may look but not write.
  await server.kill();
  const { spawn } = await import('node:child_process');
  const port = await freePort();
  const config = join(directory.path, 'restricted.conf');
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${join(directory.path, 'other')}" }\n` +
      'authorization { users: [ { user: all, password: all }, { user: some, password: some,\n' +
      '  permissions: { publish: { allow: ["$JS.API.STREAM.INFO.>"] }, subscribe: ["_INBOX.>"] } } ] }\n',
  );
  const restricted = spawn(process.env.CANOPY_NATS_SERVER ?? 'nats-server', ['-c', config], { stdio: 'ignore' });
  onTestFinished(async () => {
    restricted.kill('SIGKILL');
    await new Promise((resolve) => restricted.once('exit', resolve));
  });
  const as = (user: string): Promise<NatsSession> =>
    connectNats(
      { servers: [`nats://127.0.0.1:${port}`], user, password: user },
      { name: user, env, waitForServer: true, timeoutMs: 10_000 },
    );
  const owner = await as('all');
  onTestFinished(() => owner.close());
  await owner.ensureKv('b');
  const limited = await as('some');
  onTestFinished(() => limited.close());
  const kv = await limited.kv('b');
  const started = env.clock.monotonic();
  await expect(kv.put('k', new Uint8Array(1))).rejects.toMatchObject({ code: 'NATS_PERMISSION' });
  await expect(limited.ensureKv('c')).rejects.toMatchObject({ code: 'NATS_PERMISSION' });
  await expect(limited.bus.request('somewhere', new Uint8Array(1))).rejects.toMatchObject({ code: 'NATS_PERMISSION' });
  await expect(async () => {
    for await (const message of limited.bus.subscribe('somewhere')) throw new Error(message.subject);
  }).rejects.toMatchObject({ code: 'NATS_PERMISSION' });
  expect(env.clock.monotonic() - started).toBeLessThan(4000);
});

test('a connection that somebody else opened is not closed by the session', async () => {
  const { connection } = await testNatsServer({ onCleanup: onTestFinished });
  const nc = await connect({ servers: connection.servers[0] as string });
  onTestFinished(() => nc.close());
  const session = await wrapConnection(nc, { env });
  const kv = await session.ensureKv('b');
  await kv.put('k', new Uint8Array(1));
  await session.close();
  expect(nc.isClosed()).toBe(false);
  await nc.flush();
  const again = await wrapConnection(nc, { env });
  await nc.close();
  await eventually(() => !again.status().connected);
  await expect((await Promise.resolve(again)).kv('b')).rejects.toMatchObject({ code: 'NATS_CLOSED' });
});
