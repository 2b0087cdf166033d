/** What a user gets who gets something wrong: a code, the facts, what to do, a documented exit code, and nothing left behind. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  eventually,
  freePort,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, ENTRY, startCanopy } from './canopy.ts';
import { smallDisk } from './small-disk.ts';

const EXAMPLE = fileURLToPath(new URL('../../../../examples/ledger', import.meta.url));

let nats: TestNatsServer;
let directory: TemporaryDirectory;
beforeAll(async () => {
  nats = await testNatsServer();
  directory = await temporaryDirectory('cli');
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await directory?.remove();
});

let count = 0;
function config(body: object, node = `n${++count}`): string {
  const file = join(directory.path, `${node}-${++count}.json`);
  const base = { platform: 'bad', node, nats: { servers: [nats.url] }, dataDir: join(directory.path, `${node}-data`) };
  writeFileSync(file, JSON.stringify({ ...base, ...body }));
  return file;
}

async function occupiedPort(): Promise<{ port: number; server: Server }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as { port: number }).port, server };
}

describe('usage', () => {
  it('an unknown verb or option gets a suggestion', async () => {
    const verb = await canopy(['statsu']);
    expect(verb).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('Did you mean status?') });
    expect(await canopy(['up', '--nods', '3'])).toMatchObject({
      code: EXIT.usage,
      output: expect.stringContaining('--nodes'),
    });
    expect(await canopy(['up', '--nodes', 'many'])).toMatchObject({
      code: EXIT.usage,
      output: expect.stringContaining('whole number'),
    });
  });
  it('is told as JSON where JSON is asked for', async () => {
    for (const args of [['statsu'], ['up', '--nods', '3'], ['up', '--nodes', 'many'], ['run'], []]) {
      const spoken = await canopy(['--output', 'json', ...args]);
      expect(spoken.code).toBe(EXIT.usage);
      expect(JSON.parse(spoken.output)).toMatchObject({ error: { code: 'USAGE' } });
    }
  });
  it('a result that cannot be written is an error with a code; a reader that has gone is none', async () => {
    const shell = (redirection: string): { status: number | null; stderr: string } =>
      spawnSync('/bin/sh', ['-c', `"${process.execPath}" "${ENTRY}" --help ${redirection}`], { encoding: 'utf8' });
    const full = shell('>/dev/full');
    expect([full.status, full.stderr.includes('OUTPUT_UNWRITABLE')]).toEqual([EXIT.storage, true]);
    expect(shell('| true')).toMatchObject({ status: 0, stderr: '' });
  });
  it('help is no error and names exit codes and examples', async () => {
    const help = await canopy(['--help']);
    expect(help.code).toBe(EXIT.ok);
    expect(help.output).toContain('Exit codes:');
    expect(help.output).toContain('Examples:');
    for (const code of Object.values(EXIT)) expect(help.output).toMatch(new RegExp(`\\b${code} [A-Za-z]`));
    for (const verb of [['up'], ['run'], ['status'], ['app', 'list'], ['db', 'status'], ['stepdown']]) {
      const own = await canopy([...verb, '--help']);
      expect(own.output).toContain(`canopy ${verb.join(' ')}`);
      expect(own.output).toMatch(/Examples?:/);
      expect(own.output).toContain('Global options');
    }
  });
  it('without a cluster to talk to, says how to name one', async () => {
    const spoken = await canopy(['status', '--dir', directory.path]);
    expect(spoken).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('CLUSTER_UNKNOWN') });
    expect(spoken.output).toContain('--server');
  });
});

describe('configuration', () => {
  it('unknown keys, wrong types and a missing file are told with field and file', async () => {
    const file = config({ aps: {}, ttl: 'soon' });
    const spoken = await canopy(['run', '--config', file]);
    expect(spoken.code).toBe(EXIT.usage);
    expect(spoken.output).toContain('aps: unknown key; did you mean "apps"?');
    expect(spoken.output).toContain('ttl: ');
    const missing = await canopy(['run', '--config', join(directory.path, 'none.yaml')]);
    expect(missing).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('CONFIG_MISSING') });
  });
  it('the complete configuration of the example runs as it is, with a server named', async () => {
    const copy = join(directory.path, 'example');
    cpSync(EXAMPLE, copy, { recursive: true });
    const file = join(copy, 'node.yaml');
    const ports = { 9180: await freePort(), 9080: await freePort(), 8080: await freePort() };
    const text = Object.entries(ports).reduce(
      (yaml, [old, free]) => yaml.replaceAll(old, String(free)),
      readFileSync(file, 'utf8'),
    );
    writeFileSync(file, text);
    await using node = await startCanopy(['run', '--config', file, '--server', nats.url]);
    await node.line(/node n1 of platform ledger-prod is up/);
    await eventually(async () => (await fetch(`http://127.0.0.1:${ports[8080]}/sum`)).ok, {
      what: 'the ledger answers through the proxy',
      timeoutMs: 30_000,
    });
    node.signal('SIGTERM');
    expect((await node.exited).code).toBe(EXIT.ok);
  });
  it('JSON output carries the same error for programs', async () => {
    const spoken = await canopy(['--output', 'json', 'run', '--config', config({ aps: {} })]);
    expect(JSON.parse(spoken.output)).toMatchObject({ error: { code: 'CONFIG_INVALID' } });
  });
});

describe('NATS', () => {
  it('a wrong URL is told without hanging', async () => {
    const { port, server } = await occupiedPort();
    server.close();
    const file = config({ nats: { servers: [`nats://127.0.0.1:${port}`] } });
    const spoken = await canopy(['run', '--config', file]);
    expect(spoken).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('NATS_UNREACHABLE') });
    const status = await canopy(['status', '--server', `nats://127.0.0.1:${port}`, '--platform', 'bad']);
    expect(status).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('NATS_UNREACHABLE') });
  });
  it('wrong credentials are told, and not repeated in the message', async () => {
    await using locked = await testNatsServer({ auth: { user: 'joe', password: 'right' } });
    const file = config({ nats: { servers: [locked.url], user: 'joe', password: 'wr0ng-secret' } });
    const spoken = await canopy(['run', '--config', file]);
    expect(spoken).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('NATS_AUTH') });
    expect(spoken.output).not.toContain('wr0ng-secret');
  });
  it('a server without JetStream is told', async () => {
    await using plain = await testNatsServer({ jetstream: false });
    const spoken = await canopy(['run', '--config', config({ nats: { servers: [plain.url] } })]);
    expect(spoken).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('JETSTREAM_DISABLED') });
  });
  it('a platform that does not exist is told, not taken for an empty one', async () => {
    const spoken = await canopy(['status', '--server', nats.url, '--platform', 'nowhere']);
    expect(spoken).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('KV_BUCKET_MISSING') });
  });
  it('no nats-server, and none may be fetched: says what was tried and what helps', async () => {
    const home = await temporaryDirectory('empty');
    const nothing = {
      PATH: '/nonexistent',
      CANOPY_NATS_SERVER: undefined,
      HOME: home.path,
      XDG_CACHE_HOME: undefined,
      TMPDIR: home.path,
    };
    const spoken = await canopy(['up', '--no-download', '--dir', join(home.path, 'up')], nothing);
    expect(spoken).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('NATS_SERVER_MISSING') });
    expect(spoken.output).toContain('CANOPY_NATS_SERVER');
    await home.remove();
  });
});

describe('what somebody else holds', () => {
  it('a taken port is named with its option', async () => {
    const { port, server } = await occupiedPort();
    const listen = `127.0.0.1:${port}`;
    const http = await canopy(['run', '--config', config({ http: { listen } })]);
    expect(http).toMatchObject({ code: EXIT.busy, output: expect.stringContaining(`${port}`) });
    const proxy = await canopy([
      'run',
      '--config',
      config({ apps: { web: { proxy: { listen, to: 'http://127.0.0.1:1' } } } }),
    ]);
    expect(proxy).toMatchObject({ code: EXIT.busy, output: expect.stringContaining('proxy.listen') });
    const up = await canopy(['up', '--dir', join(directory.path, 'up-port'), '--nats-port', String(port)]);
    expect(up).toMatchObject({ code: EXIT.busy, output: expect.stringContaining('PORT_TAKEN') });
    server.close();
  });

  it('a node id in use names its holder; the holder is not disturbed', async () => {
    const file = config({}, 'twin');
    await using first = await startCanopy(['run', '--config', file]);
    await first.line(/is up/);
    const second = await canopy(['run', '--config', config({}, 'twin')]);
    expect(second).toMatchObject({ code: EXIT.busy, output: expect.stringContaining('NODE_ID_IN_USE') });
    expect(second.output).toContain(String(first.pid));
    expect(first.exit).toBeUndefined();
    first.signal('SIGTERM');
    expect((await first.exited).code).toBe(EXIT.ok);
  });

  it('two canopy up in one directory: the second is refused and names the first', async () => {
    const dir = join(directory.path, 'shared-up');
    await using first = await startCanopy(['up', '--dir', dir]);
    await first.line(/platform play is up/, { timeoutMs: 60_000 });
    const second = await canopy(['up', '--dir', dir]);
    expect(second).toMatchObject({ code: EXIT.busy, output: expect.stringContaining('DIRECTORY_IN_USE') });
    expect(second.output).toContain(`process ${first.pid}`);
    const status = await canopy(['--output', 'json', 'status', '--dir', dir]);
    expect(JSON.parse(status.output)).toMatchObject({ platform: 'play', members: [{ id: 'n1', health: 'alive' }] });
    first.signal('SIGINT');
    expect((await first.exited).code).toBe(EXIT.ok);
    expect(existsSync(join(dir, 'cluster.json'))).toBe(false);
  });
});

describe('storage', () => {
  it('a directory that cannot be written is told before anything starts', async () => {
    const blocked = join(directory.path, 'a-file');
    writeFileSync(blocked, '');
    const run = await canopy(['run', '--config', config({ dataDir: join(blocked, 'data') })]);
    expect(run).toMatchObject({ code: EXIT.storage, output: expect.stringContaining('DIRECTORY_UNWRITABLE') });
    const procfs = await canopy(['run', '--config', config({ dataDir: '/proc/canopy/data' })]);
    expect(procfs).toMatchObject({ code: EXIT.storage, output: expect.stringContaining('DIRECTORY_UNWRITABLE') });
    const up = await canopy(['up', '--dir', join(blocked, 'up')]);
    expect(up).toMatchObject({ code: EXIT.storage, output: expect.stringContaining('DIRECTORY_UNWRITABLE') });
  });

  it('a full disk is told before anything starts, and nothing half-done stays', async ({ skip }) => {
    await using tiny = await smallDisk(512 * 1024, skip);
    writeFileSync(join(tiny.path, 'filler'), Buffer.alloc(400 * 1024));
    const before = readdirSync(tiny.path);
    const run = await canopy(['run', '--config', config({ dataDir: tiny.path })]);
    expect(run).toMatchObject({ code: EXIT.storage, output: expect.stringContaining('DIRECTORY_UNWRITABLE') });
    expect(run.output).toContain('ENOSPC');
    expect(readdirSync(tiny.path)).toEqual(before);
  });
});
