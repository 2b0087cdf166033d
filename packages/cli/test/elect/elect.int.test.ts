/** `canopy elect` as a shell would use it: real processes, a real server, real signals. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { identifyProcess, isGroupGone, type ProcessId, systemClock, systemEnv } from '@canopy/core';
import { connectNats, type Kv } from '@canopy/nats';
import {
  type ChildNode,
  eventually,
  TcpProxy,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from '../verbs/canopy.ts';

/** Takes its epoch down, says so, and goes on until told otherwise. */
const WORK = 'echo "work $CANOPY_INSTANCE $CANOPY_EPOCH $$"; while :; do sleep 0.05; done';
const STUBBORN = `trap "echo heard" TERM INT; ${WORK}`;
const TTL = '10s';

let nats: TestNatsServer;
let directory: TemporaryDirectory;
let kv: Kv;
let groups = 0;
const newGroup = (): string => `job-${++groups}`;

beforeAll(async () => {
  nats = await testNatsServer();
  directory = await temporaryDirectory('elect');
  const session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
  kv = await session.ensureKv('elections', { ttlMs: 10_000 });
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await directory?.remove();
});

function args(group: string, id: string, more: readonly string[], command: readonly string[]): string[] {
  return ['elect', '--server', nats.url, '--group', group, '--id', id, '--ttl', TTL, ...more, '--', ...command];
}

/** Started; ends with the test. */
async function candidate(group: string, id: string, script = WORK, more: readonly string[] = []): Promise<ChildNode> {
  const child = await startCanopy(args(group, id, more, ['sh', '-c', script]));
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

interface Work {
  readonly epoch: number;
  readonly id: ProcessId;
}

async function working(child: ChildNode, timeoutMs = 15_000): Promise<Work> {
  const line = await child.line(/^work /, { timeoutMs });
  const [, , epoch, pid] = line.split(' ');
  const id = identifyProcess(Number(pid)) as ProcessId;
  return { epoch: Number(epoch), id };
}

const stands = (child: ChildNode): Promise<string> => child.line(/stands for group/);
const holderOf = async (group: string): Promise<string | undefined> => {
  const entry = await kv.get(group);
  return entry === undefined ? undefined : (JSON.parse(new TextDecoder().decode(entry.value)) as { id: string }).id;
};

describe('canopy elect', () => {
  it('runs the command with the epoch, exits with its code, and leaves no lease', async () => {
    const group = newGroup();
    const ran = await canopy(args(group, 'a', [], ['sh', '-c', 'echo "$CANOPY_GROUP $CANOPY_EPOCH"; exit 7']));
    expect(ran.code, ran.output).toBe(7);
    expect(ran.output).toMatch(new RegExp(`^${group} [1-9][0-9]*$`, 'm'));
    expect(await holderOf(group)).toBeUndefined();
    const killed = await canopy(args(group, 'a', [], ['sh', '-c', 'kill -9 $$']));
    expect(killed.code, killed.output).toBe(137);
  });

  it('runs one command of two; a kill -9 of its elect ends the command first and lets the other go on at once', async () => {
    const group = newGroup();
    const a = await candidate(group, 'a', STUBBORN);
    const first = await working(a);
    const b = await candidate(group, 'b');
    await stands(b);
    await systemClock.sleep(700);
    expect(b.output).not.toContain('work b');
    const killedAt = systemClock.monotonic();
    a.signal('SIGKILL');
    const second = await working(b);
    const tookMs = systemClock.monotonic() - killedAt;
    expect(isGroupGone(first.id)).toBe(true);
    expect(second.epoch).toBeGreaterThan(first.epoch);
    // Far below the ten seconds of the lease: the warden let it go.
    expect(tookMs).toBeLessThan(3000);
  });

  it('SIGTERM goes to the command; its end releases the lease', async () => {
    const group = newGroup();
    const a = await candidate(group, 'a', `trap "echo bye; exit 3" TERM; ${WORK}`);
    await working(a);
    a.signal('SIGTERM');
    expect((await a.exited).code, a.output).toBe(3);
    expect(a.output).toContain('bye');
    expect(await holderOf(group)).toBeUndefined();
  });

  it('a command that ignores SIGTERM is killed after --kill-after, or at a second signal', async () => {
    const group = newGroup();
    const patient = await candidate(group, 'a', STUBBORN, ['--kill-after', '400ms']);
    const { id } = await working(patient);
    patient.signal('SIGTERM');
    expect((await patient.exited).code, patient.output).toBe(137);
    expect(patient.output).toContain('heard');
    expect(isGroupGone(id)).toBe(true);
    const urgent = await candidate(group, 'b', STUBBORN, ['--kill-after', '60s']);
    await working(urgent);
    urgent.signal('SIGINT');
    await systemClock.sleep(100);
    urgent.signal('SIGINT');
    expect((await urgent.exited).code, urgent.output).toBe(137);
    expect(await holderOf(group)).toBeUndefined();
  });

  it('frozen for longer than its lease, the command is killed before another runs, and stood for again', async () => {
    const group = newGroup();
    const more = ['--bucket', 'short', '--ttl', '1500ms'];
    const a = await candidate(group, 'a', WORK, more);
    const first = await working(a);
    const b = await candidate(group, 'b', WORK, more);
    await stands(b);
    a.signal('SIGSTOP');
    await eventually(() => b.lines.some((line) => line.startsWith('work')), { timeoutMs: 8000, everyMs: 2 });
    expect(isGroupGone(first.id)).toBe(true);
    a.signal('SIGCONT');
    await a.line(/no longer leads/);
    b.signal('SIGTERM');
    await b.exited;
    await eventually(() => a.lines.filter((line) => line.startsWith('work')).length === 2);
  });

  it('cut off from NATS, the command is asked to end and killed before another runs', async () => {
    const group = newGroup();
    await using proxy = await TcpProxy.start(nats.url);
    const more = ['--bucket', 'cut', '--ttl', '3s'];
    const a = await candidate(group, 'a', STUBBORN, [...more, '--server', proxy.url]);
    const first = await working(a);
    const b = await candidate(group, 'b', WORK, more);
    await stands(b);
    await proxy.refuse();
    await eventually(() => b.lines.some((line) => line.startsWith('work')), { timeoutMs: 10_000, everyMs: 2 });
    expect(isGroupGone(first.id)).toBe(true);
    expect(a.output).toContain('heard');
    await a.line(/no longer leads/);
  });

  it('a step-down asked for from outside ends the command and moves the lease; --once then exits 75', async () => {
    const group = newGroup();
    const a = await candidate(group, 'a', WORK, ['--once']);
    const { epoch, id } = await working(a);
    const b = await candidate(group, 'b');
    await stands(b);
    const moved = await canopy([
      '-o',
      'json',
      ...['election', 'stepdown', '--server', nats.url, '--group', group, '--to', 'b'],
    ]);
    expect(moved.code, moved.output).toBe(EXIT.ok);
    expect(JSON.parse(moved.output)).toMatchObject({ group, from: 'a', to: 'b' });
    expect(JSON.parse(moved.output).epoch).toBeGreaterThan(epoch);
    expect((await a.exited).code, a.output).toBe(EXIT.leadershipLost);
    expect(isGroupGone(id)).toBe(true);
  });

  it('--wait gives up; a signal while waiting ends it as a shell would say', async () => {
    const group = newGroup();
    const a = await candidate(group, 'a');
    await working(a);
    const late = await canopy(args(group, 'b', ['--wait', '300ms'], ['true']));
    expect(late.code, late.output).toBe(EXIT.timeout);
    const c = await candidate(group, 'c');
    await stands(c);
    c.signal('SIGTERM');
    expect((await c.exited).code, c.output).toBe(143);
  });

  it('what cannot be run, reached or understood is told by its exit code, and the lease is given back', async () => {
    const group = newGroup();
    const missing = await canopy(args(group, 'a', [], ['no-such-program']));
    expect(missing).toMatchObject({ code: 127, output: expect.stringContaining('ELECT_COMMAND_MISSING') });
    const unusable = await canopy(args(group, 'a', [], ['/etc/passwd']));
    expect(unusable).toMatchObject({ code: 126, output: expect.stringContaining('ELECT_COMMAND_UNUSABLE') });
    expect(await holderOf(group)).toBeUndefined();
    expect((await canopy(['elect', '--server', nats.url, '--', 'true'])).code).toBe(EXIT.usage);
    expect((await canopy(['elect', '--server', nats.url, '--group', group])).code).toBe(EXIT.usage);
    const short = await canopy(args(group, 'a', ['--ttl', '100ms'], ['true']));
    expect(short).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('ttl must be between 300 and') });
    // Nothing that has no flag.
    expect(short.output).not.toContain('disconnectGracePeriod');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    server.close();
    const nowhere = await canopy(['elect', '--server', `nats://127.0.0.1:${port}`, '--group', group, '--', 'true']);
    expect(nowhere.code, nowhere.output).toBe(EXIT.unreachable);
  });

  it('writes a log without tokens', async () => {
    const group = newGroup();
    const file = join(directory.path, 'elect.log');
    expect((await canopy(args(group, 'a', ['--log-file', file], ['true']))).code).toBe(0);
    const log = readFileSync(file, 'utf8');
    expect(log).toContain('leader_promoted');
    expect(log).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/);
  });
});
