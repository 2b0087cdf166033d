import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { eventually, spawnNode, type TestNatsServer, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient, Platform } from '../../src/index.ts';
import { TestCluster } from './cluster.ts';
import { platformSuite } from './suite.ts';

let nats: TestNatsServer;
beforeEach(async () => {
  nats = await testNatsServer();
});
afterEach(() => nats[Symbol.asyncDispose]());

const connect = (): Promise<NatsSession> => connectNats(nats.connection, { name: 'test', env: systemEnv() });

platformSuite(connect);

const PROGRAM = new URL('./node-program.ts', import.meta.url);

/** A node in a process of its own. */
async function nodeProcess(directory: string, options: { node: string; warden?: boolean }) {
  const config = { platform: 'test', dataDir: `${directory}/${options.node}`, connection: nats.connection, ...options };
  return spawnNode(PROGRAM, [JSON.stringify(config)]);
}

describe('a node id', () => {
  it('is held by one process: the second is refused, and gets it at once when the first was killed', async () => {
    await using directory = await temporaryDirectory('identity');
    await using first = await nodeProcess(directory.path, { node: 'n1', warden: false });
    await first.line(/^running/);
    await using second = await nodeProcess(directory.path, { node: 'n1', warden: false });
    const refusal = await second.line(/^NODE_ID_IN_USE/);
    expect(refusal).toContain(`held by process ${first.pid} on`);
    expect(await second.exited).toMatchObject({ code: 1 });
    await first.kill();
    await using third = await nodeProcess(directory.path, { node: 'n1', warden: false });
    await third.line(/^running/);
  });

  it('is taken from a process that is frozen for too long; when it wakes it stops its apps and fails', async () => {
    await using directory = await temporaryDirectory('identity');
    await using first = await nodeProcess(directory.path, { node: 'n1', warden: false });
    await first.line(/^serving/);
    first.signal('SIGSTOP');
    try {
      await using second = await nodeProcess(directory.path, { node: 'n1', warden: false });
      await second.line(/^running/);
      first.signal('SIGCONT');
      expect(await first.line(/^NODE_ID_LOST/)).toContain(`process ${second.pid}`);
      expect(await first.exited).toMatchObject({ code: 1 });
      await second.line(/^serving/);
    } finally {
      first.signal('SIGCONT');
    }
  });
});

describe('with a warden', () => {
  it('the death of the active process frees the lease at once, long before its ttl', async () => {
    await using directory = await temporaryDirectory('warden');
    await using first = await nodeProcess(directory.path, { node: 'n1' });
    await first.line(/^serving/);
    await using second = await nodeProcess(directory.path, { node: 'n2' });
    await second.line(/^running/);
    const session = await connect();
    try {
      const client = new ControlClient(session, 'test');
      expect((await client.nodeStatus('n1')).wardenPid).toEqual(expect.any(Number));
      await eventually(async () => (await client.appStatus('x')).active === 'n1');
      const { clock } = systemEnv();
      const killedAt = clock.monotonic();
      await first.kill();
      await second.line(/^serving/);
      // The lease is 10 s long; only its release explains less.
      expect(clock.monotonic() - killedAt).toBeLessThan(5000);
      expect(await client.appStatus('x')).toMatchObject({ active: 'n2' });
      expect((await client.appStatus('x')).instances.find(({ node }) => node === 'n1')?.error?.code).toBe(
        'NODE_UNREACHABLE',
      );
    } finally {
      await session.close();
    }
  });

  it('a planned stop hands over within a moment, and leaves no process', async () => {
    await using directory = await temporaryDirectory('warden');
    await using first = await nodeProcess(directory.path, { node: 'n1' });
    await first.line(/^serving/);
    first.signal('SIGTERM');
    expect(await first.exited).toMatchObject({ code: 0 });
    await first.line(/^stopped/);
  });
});

it('survives the death of the NATS server: nobody serves without a lease, and all go on when it is back', async () => {
  await using cluster = await TestCluster.open(connect, { ttl: 800 });
  for (const id of ['n1', 'n2']) await cluster.started(id);
  const first = await cluster.serving();
  await cluster.send(first, 'POST', 'before');
  await nats.server.kill();
  await eventually(() => !first.app.serving && !first.backends.latest.isRunning, { what: 'the lease ran out' });
  // Sent while nobody can serve, it waits for those who can again.
  const waiting = cluster.send(first, 'POST', 'during');
  await nats.server.restart();
  expect(await waiting).toMatchObject({ status: 200 });
  await cluster.serving();
  expect(cluster.log.entries).toEqual(['before', 'during']);
  expect(cluster.nodes.map(({ platform }) => platform.state)).toEqual(['running', 'running']);
  await eventually(() => first.platform.members().every(({ health }) => health === 'alive'));
});

it('says what is wrong when no server answers', async () => {
  await using directory = await temporaryDirectory('unreachable');
  const platform = new Platform({ name: 'p', node: 'n', servers: 'nats://127.0.0.1:1', dataDir: directory.path });
  await expect(platform.start()).rejects.toMatchObject({ code: 'NATS_UNREACHABLE' });
});
