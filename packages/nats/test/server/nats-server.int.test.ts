/** One real server: readiness, ports, data, faults, and its certain end. */
import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessId } from '@canopy/core';
import {
  eventually,
  freePort,
  natsServerBinary,
  processState,
  processTree,
  spawnNode,
  type TemporaryDirectory,
  temporaryDirectory,
  testNatsServer,
  tinyFilesystem,
} from '@canopy/testkit';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPortFree, NatsServer } from '../../src/server/index.ts';

let directory: TemporaryDirectory;
let binary: string;
let count = 0;
beforeAll(async () => {
  directory = await temporaryDirectory('server');
  binary = await natsServerBinary();
});
afterAll(() => directory?.remove());
const freshDir = (): string => join(directory.path, String(++count));
const identity = (pid: number): ProcessId => identifyProcess(pid) as ProcessId;

async function storeOne(url: string): Promise<void> {
  const nats = await connect({ servers: url, reconnect: false });
  try {
    await (await jetstreamManager(nats)).streams.add({ name: 'KEEP', subjects: ['keep'] });
    await (await jetstreamManager(nats)).jetstream().publish('keep', 'me');
  } finally {
    await nats.close();
  }
}

async function storedMessages(url: string): Promise<number> {
  const nats = await connect({ servers: url, reconnect: false });
  try {
    return (await (await jetstreamManager(nats)).streams.info('KEEP')).state.messages;
  } finally {
    await nats.close();
  }
}

describe('NatsServer', () => {
  it('serves JetStream when launch resolves, and nothing runs or listens after stop', async () => {
    const server = await NatsServer.launch({ dataDir: freshDir(), binary, monitor: true });
    const id = identity(server.pid);
    try {
      expect(server.state).toBe('running');
      expect(server.version).toMatch(/^2\.\d+\.\d+$/);
      await storeOne(server.url);
      const health = await fetch(`${server.monitorUrl}/healthz`);
      expect(await health.json()).toMatchObject({ status: 'ok' });
      expect(await server.logTail()).toContain('Server is ready');
      const config = await readFile(join(server.dataDir, 'nats-server.conf'), 'utf8');
      expect(config).toContain('sync_interval: always');
    } finally {
      await Promise.all([server.stop(), server.stop()]);
    }
    expect(isRunning(id)).toBe(false);
    expect(server.state).toBe('stopped');
    expect(await isPortFree('127.0.0.1', server.port)).toBe(true);
    expect(() => server.restart()).toThrow(expect.objectContaining({ code: 'STATE_INVALID' }));
  });

  it('keeps port and data over kill and restart', async () => {
    await using server = await NatsServer.launch({ dataDir: freshDir(), binary });
    await storeOne(server.url);
    const before = { pid: server.pid, url: server.url };
    await server.kill();
    expect(server.state).toBe('exited');
    await server.restart();
    expect(server.url).toBe(before.url);
    expect(server.pid).not.toBe(before.pid);
    expect(await storedMessages(server.url)).toBe(1);
    await server.restart();
    expect(await storedMessages(server.url)).toBe(1);
  });

  it('freezes, thaws, and stops even while frozen', async () => {
    const server = await NatsServer.launch({ dataDir: freshDir(), binary });
    const id = identity(server.pid);
    server.freeze();
    await eventually(() => processState(server.pid) === 'T');
    expect(server.state).toBe('frozen');
    server.thaw();
    await eventually(() => processState(server.pid) !== 'T');
    server.freeze();
    await server.stop();
    expect(isRunning(id)).toBe(false);
  });

  it('tells when the server ends by itself', async () => {
    await using server = await NatsServer.launch({ dataDir: freshDir(), binary });
    process.kill(server.pid, 'SIGKILL');
    expect(await server.exited()).toEqual({ code: undefined, signal: 'SIGKILL' });
    expect(server.state).toBe('exited');
  });

  it('undoes a restart that stop() overtakes', async () => {
    const server = await NatsServer.launch({ dataDir: freshDir(), binary });
    const restarting = server.restart().catch((error) => error);
    await server.stop();
    await restarting;
    expect(processTree(process.pid).some((member) => member.pid === server.pid)).toBe(false);
    expect(await isPortFree('127.0.0.1', server.port)).toBe(true);
  });

  it('lets only those in who know the secret', async () => {
    for (const auth of [{ user: 'me', password: 'p"a\\ss' }, { token: 't0ken$' }]) {
      await using server = await NatsServer.launch({ dataDir: freshDir(), binary, auth });
      expect(server.connection).toEqual({ servers: [server.url], ...auth });
      await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authorization/i);
    }
  });

  it('runs without JetStream when told so', async () => {
    await using server = await NatsServer.launch({ dataDir: freshDir(), binary, jetstream: false });
    const nats = await connect({ servers: server.url, reconnect: false });
    expect(nats.info?.jetstream ?? false).toBe(false);
    await nats.close();
  });
});

describe('a launch that fails', () => {
  it('says which port is taken, and undoes itself', async () => {
    const port = await freePort();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const dataDir = freshDir();
    try {
      await expect(NatsServer.launch({ dataDir, binary, port })).rejects.toMatchObject({
        code: 'PORT_TAKEN',
        message: `port ${port} on 127.0.0.1 is taken`,
      });
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
    await using server = await NatsServer.launch({ dataDir, binary, port });
    expect(server.port).toBe(port);
  });

  it('notices a port that is taken in the last moment, and picks another when it may', async () => {
    const dataDir = freshDir();
    const late = join(directory.path, 'late-server');
    const [started, go] = [join(directory.path, 'started'), join(directory.path, 'go')];
    const wait = `touch ${started}; while [ ! -e ${go} ]; do sleep 0.02; done`;
    await writeFile(late, `#!/bin/sh\n${wait}\nexec ${binary} "$@"\n`, { mode: 0o755 });
    const other = createServer();
    const portOf = async (): Promise<number> => {
      const config = await readFile(join(dataDir, 'nats-server.conf'), 'utf8');
      return Number(/^listen: ".*:(\d+)"$/m.exec(config)?.[1]);
    };
    const launchAgainst = async (port: number): Promise<NatsServer> => {
      await rm(started, { force: true });
      await rm(go, { force: true });
      const launching = NatsServer.launch({ dataDir, binary: late, port });
      await eventually(() => access(started).then(() => true));
      const chosen = await portOf();
      await new Promise<void>((resolve) => other.listen(chosen, '127.0.0.1', resolve));
      await writeFile(go, '');
      return launching.finally(() => new Promise((resolve) => other.close(resolve)));
    };
    const port = await freePort();
    await expect(launchAgainst(port)).rejects.toMatchObject({ code: 'PORT_TAKEN', fields: { port } });
    await using server = await launchAgainst(0);
    expect(server.state).toBe('running');
  });

  it('says that the file system of the data directory is full', async (context) => {
    const tiny = await tinyFilesystem(64 * 1024);
    if (tiny.path === undefined) return context.skip(tiny.reason);
    try {
      const filled = await writeFile(join(tiny.path, 'filler'), Buffer.alloc(64 * 1024)).catch((error) => error);
      expect(filled?.code ?? 'full').toMatch(/ENOSPC|full/);
      await expect(NatsServer.launch({ dataDir: tiny.path, binary })).rejects.toMatchObject({
        code: 'NATS_DATA_DIR_UNWRITABLE',
        message: expect.stringContaining('no space'),
      });
    } finally {
      await tiny[Symbol.asyncDispose]();
    }
  });

  it('says that the data directory cannot be used', async () => {
    const file = join(directory.path, 'a-file');
    await writeFile(file, '');
    for (const dataDir of ['/proc/canopy', file, join(file, 'below')])
      await expect(NatsServer.launch({ dataDir, binary })).rejects.toMatchObject({
        code: 'NATS_DATA_DIR_UNWRITABLE',
        message: expect.stringContaining(dataDir),
      });
  });

  it('says that a directory is in use while its owner lives', async () => {
    await using server = await NatsServer.launch({ dataDir: freshDir(), binary });
    await expect(NatsServer.launch({ dataDir: server.dataDir, binary })).rejects.toMatchObject({
      code: 'NATS_DATA_DIR_IN_USE',
      fields: { ownerPid: process.pid },
    });
    expect(server.state).toBe('running');
  });

  it('lets exactly one of many have a directory', async () => {
    const dataDir = freshDir();
    const launches = await Promise.allSettled(
      Array.from({ length: 6 }, () => NatsServer.launch({ dataDir, binary, jetstream: false })),
    );
    const winners = launches.flatMap((launch) => (launch.status === 'fulfilled' ? [launch.value] : []));
    await Promise.all(winners.map((server) => server.stop()));
    expect(winners).toHaveLength(1);
    for (const launch of launches)
      if (launch.status === 'rejected') expect(launch.reason).toMatchObject({ code: 'NATS_DATA_DIR_IN_USE' });
  });

  it('gives the reason of a server that ends at once', async () => {
    const wrong = join(directory.path, 'wrong-server');
    await writeFile(wrong, '#!/bin/sh\necho "[1] 2026/01/01 00:00:00.000000 [FTL] it will not" >&2\nexit 3\n', {
      mode: 0o755,
    });
    await expect(NatsServer.launch({ dataDir: freshDir(), binary: wrong })).rejects.toMatchObject({
      code: 'NATS_SERVER_EXITED',
      message: expect.stringContaining('it will not'),
      fields: { exit: { code: 3 } },
    });
  });

  it('gives up on a server that never serves, and ends it', async () => {
    const idle = join(directory.path, 'idle-server');
    await writeFile(idle, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    await expect(NatsServer.launch({ dataDir: freshDir(), binary: idle, timeoutMs: 200 })).rejects.toMatchObject({
      code: 'NATS_SERVER_NOT_READY',
    });
    const abort = new AbortController();
    const launching = NatsServer.launch({ dataDir: freshDir(), binary: idle, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(launching).rejects.toThrow('enough');
  });

  it('names all wrong options at once', async () => {
    await expect(NatsServer.launch({ dataDir: '', port: 70_000 })).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
      message: expect.stringMatching(/dataDir.*port/),
    });
  });
});

describe('the death of the owner', () => {
  const program = new URL('./programs/hold-server.ts', import.meta.url);
  const launchIn = async (dataDir: string) => {
    const owner = await spawnNode(program, [dataDir], { environment: { CANOPY_NATS_SERVER: binary } });
    const { pid, url } = JSON.parse(await owner.line(/"pid"/)) as { pid: number; url: string };
    return { owner, url, server: identity(pid) };
  };

  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('by %s ends the server', async (signal) => {
    const { owner, server } = await launchIn(freshDir());
    await using _owner = owner;
    expect(isRunning(server)).toBe(true);
    owner.signal(signal);
    await eventually(() => !isRunning(server), { what: 'the end of the server', timeoutMs: 3_000 });
  });

  it('ends a frozen server too', async () => {
    const { owner, server } = await launchIn(freshDir());
    await using _owner = owner;
    process.kill(server.pid, 'SIGSTOP');
    owner.signal('SIGKILL');
    await eventually(() => !isRunning(server), { what: 'the end of the server', timeoutMs: 3_000 });
  });

  it('without its guard leaves a server that the next launch on the directory ends', async () => {
    const dataDir = freshDir();
    const { owner, server, url } = await launchIn(dataDir);
    await using _owner = owner;
    await storeOne(url);
    for (const guard of processTree(server.pid).slice(1)) process.kill(guard.pid, 'SIGKILL');
    await owner.kill();
    expect(isRunning(server)).toBe(true);
    await using next = await NatsServer.launch({ dataDir, binary });
    expect(isRunning(server)).toBe(false);
    expect(await storedMessages(next.url)).toBe(1);
  });
});

describe('testNatsServer', () => {
  it('stops the server and removes its directory at disposal', async () => {
    const cleanups: (() => Promise<void>)[] = [];
    const test = await testNatsServer({ onCleanup: (dispose) => cleanups.push(dispose) });
    const { pid, dataDir } = test.server;
    const id = identity(pid);
    expect(cleanups).toHaveLength(1);
    await cleanups[0]?.();
    expect(isRunning(id)).toBe(false);
    await expect(readFile(join(dataDir, 'nats-server.conf'))).rejects.toMatchObject({ code: 'ENOENT' });
    await test[Symbol.asyncDispose]();
  });
});
