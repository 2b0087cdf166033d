/** `canopy replication` against a real server: a leader with two followers, and masters, in this process. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import {
  LeaderFollowerManager,
  type ManagedReplica,
  type ManagerToServe,
  MemoryProgressChannel,
  MemoryStateStore,
  MemoryStore,
  MultiMasterManager,
  openEventLog,
  ReplicationRole,
  type ServeReplicationOptions,
  type StateStore,
  serveReplication,
} from '@canopy/replication';
import { type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

const env = systemEnv();
const open = new AsyncDisposableStack();
let nats: TestNatsServer;
let session: NatsSession;

beforeAll(async () => {
  nats = open.use(await testNatsServer());
  session = await connectNats(nats.connection, { name: 'test', env });
  open.defer(() => session.close());
});
afterAll(() => open.disposeAsync());

/** Waiting is bounded by the answers, not by this: nodes on a busy machine may take their time. */
const args = (namespace: string, verb: readonly string[]) => [
  ...['--timeout', '20s', 'replication', ...verb, '--namespace', namespace, '--server', nats.url],
];
const verb = (namespace: string, ...given: string[]) => canopy(args(namespace, given));
const json = (namespace: string, ...given: string[]) => canopy(['-o', 'json', ...args(namespace, given)]);

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1500 && !(await holds()); i++) await env.clock.sleep(20);
  expect(await holds()).toBe(true);
}

async function serve(
  namespace: string,
  manager: ManagerToServe,
  more: Partial<ServeReplicationOptions> = {},
): Promise<void> {
  open.use(await serveReplication({ bus: session.bus, namespace, manager, ...more }, env));
}

describe('a leader and its followers', () => {
  const namespace = 'orders';
  const progress = new MemoryProgressChannel();
  const rebuilt = new MemoryStateStore();
  let leader: LeaderFollowerManager;

  const make = async (nodeId: string, role: ReplicationRole, stateStore: StateStore = new MemoryStateStore()) => {
    const pipeline = await openEventLog(session, { namespace });
    const config = { nodeId, role, namespace, pipeline, stateStore, progress, allowUnprovenPromotion: true };
    const manager = new LeaderFollowerManager(config, env);
    open.defer(() => manager.close());
    return manager;
  };

  beforeAll(async () => {
    leader = await make('n1', ReplicationRole.Leader);
    await leader.start();
    const [second, third] = [await make('n2', ReplicationRole.Follower), await make('n3', ReplicationRole.Follower)];
    for (const manager of [second, third]) await manager.start();
    for (let i = 0; i < 50; i++) await leader.write({ key: `k${i}`, value: i, operation: 'update' });
    const last = await leader.write(
      { key: 'k', value: 'last', operation: 'update' },
      { ack: 'followers:2', timeoutMs: 30_000 },
    );
    expect(last).toMatchObject({ success: true });
    for (const manager of [leader, second]) await serve(namespace, manager);
    const rebuild = async (adopt: (manager: ManagerToServe) => void): Promise<void> => {
      await third.close();
      const next = await make('n3', ReplicationRole.Follower, rebuilt);
      adopt(next);
      await next.start();
      await next.waitForSequence(leader.getAppliedSequence(), 60_000);
    };
    await serve(namespace, third, { rebuild });
  });

  it('status shows roles, epoch and positions', async () => {
    const { code, output } = await verb(namespace, 'status', '--expect', 'n1,n2,n3');
    expect(code, output).toBe(EXIT.ok);
    expect(output).toContain('namespace orders: 3 nodes answer, n1 leads under epoch');
    expect(output).toMatch(/NODE +ROLE +EPOCH +FOLLOWS +APPLIED +BEHIND +UP TO DATE +STATE/);
    expect(output).toMatch(/n2 +follower +\d+ +n1 +\d+ +0 +\S+ +ok/);
  });

  it('recover rebuilds from nothing where the program can', async () => {
    const { code, output } = await verb(namespace, 'recover', 'n3');
    expect(code, output).toBe(EXIT.ok);
    expect(output).toMatch(/n3: rebuilt, in/);
    expect(rebuilt.get('k')).toBe('last');
    const own = await json(namespace, 'recover', 'n2');
    expect(own.code, own.output).toBe(EXIT.ok);
    expect(JSON.parse(own.output)).toMatchObject({ node: 'n2', mode: 'rebuild' });
    const leading = await verb(namespace, 'recover', 'n1');
    expect(leading).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('RECOVERY_REFUSED') });
  });

  it('a node that does not answer is named, and taken out; a namespace that nobody serves, and one that can not be', async () => {
    expect((await verb(namespace, 'add', 'n9')).code).toBe(EXIT.ok);
    const [lag, recover, unsure, nobody, wrong] = await Promise.all([
      canopy(['--timeout', '3s', 'replication', 'lag', '-n', namespace, '-s', nats.url]),
      verb(namespace, 'recover', 'n9'),
      verb(namespace, 'remove', 'n9'),
      canopy(['--timeout', '2s', 'replication', 'status', '-n', 'ordres', '-s', nats.url]),
      verb('a.b', 'status'),
    ]);
    expect(lag).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('! n9: others know of it') });
    expect(recover).toMatchObject({
      code: EXIT.unreachable,
      output: expect.stringContaining('REPLICATION_NODE_SILENT'),
    });
    expect(unsure).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('--yes') });
    expect(nobody).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('REPLICATION_NOBODY') });
    expect(wrong).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('a namespace is') });
    expect((await verb(namespace, 'remove', 'n9', '--yes')).code).toBe(EXIT.ok);
    expect(leader.getConnectedFollowers()).not.toContain('n9');
  });

  it('lag --watch looks again until ctrl-C', async () => {
    await using watch = await startCanopy(['-o', 'json', ...args(namespace, ['lag', '--watch', '100ms'])]);
    await watch.line(/"node":"n3"/);
    const seen = watch.lines.length;
    while (watch.lines.length < seen + 2) await env.clock.sleep(20);
    watch.signal('SIGINT');
    expect((await watch.exited).code).toBe(EXIT.ok);
    for (const line of watch.lines) expect(JSON.parse(line).lag).toHaveLength(3);
  });
});

describe('masters', () => {
  const namespace = 'carts';
  const managers: MultiMasterManager[] = [];

  /** The recovery of a master is over in no time: this one's takes as long as the test wants. */
  const gate = Promise.withResolvers<void>();
  const slow: ManagedReplica = {
    node: 'slow',
    kind: 'subscriber',
    knows: () => [],
    status: () => ({ kind: 'subscriber', eventsProcessed: 0, topics: [] }),
    resync: () => gate.promise,
    progress: () => ({ phase: 'log', done: 300, total: 1200, percent: 25, perSecond: 150, leftMs: 6000 }),
  };

  beforeAll(async () => {
    for (const masterId of ['eu', 'us']) {
      const pipeline = await openEventLog(session, { namespace });
      const config = { masterId, pipeline, stateManager: new MemoryStore(), conflictStrategy: 'manual' } as const;
      const manager = open.adopt(new MultiMasterManager(config, env), (one) => one.close());
      await manager.subscribe();
      await serve(namespace, manager);
      managers.push(manager);
    }
    await serve(namespace, slow);
    // Begun in one turn: neither has seen the other's when it writes.
    for (let i = 0; i < 25; i++) {
      await Promise.all(managers.map((one) => one.write(`cart-${i % 5}`, { by: one.getMasterId(), i })));
      await until(() => managers.every((one) => one.getMetrics().eventsApplied > i));
    }
  });

  it('conflicts with their versions and clocks, and the decision on all masters', async () => {
    const [list, detail, none] = await Promise.all([
      verb(namespace, 'conflicts'),
      verb(namespace, 'conflicts', 'cart-4'),
      verb(namespace, 'conflicts', 'cart-8'),
    ]);
    expect(list.code, list.output).toBe(EXIT.ok);
    expect(list.output).toMatch(/cart-4 +waits on eu, us +(eu, us|us, eu) +\S+ ago/);
    expect(detail.output).toMatch(/us +20\S+Z +\S.* +{"by":"us","i":24}/);
    expect(none).toMatchObject({ code: EXIT.notFound, output: expect.stringContaining('CONFLICT_UNKNOWN') });
    const [picked, written, both, unknown] = await Promise.all([
      verb(namespace, 'resolve', 'cart-4', '--pick', 'us'),
      json(namespace, 'resolve', 'cart-3', '--data', '{"by":"us both"}'),
      verb(namespace, 'resolve', 'cart-2', '--data', '{}', '--pick', 'us'),
      verb(namespace, 'resolve', 'cart-2', '--pick', 'asia'),
    ]);
    expect(picked.code, picked.output).toBe(EXIT.ok);
    expect(JSON.parse(written.output)).toMatchObject({ entityId: 'cart-3', data: { by: 'us both' } });
    expect(both).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('give one of --data') });
    expect(unknown).toMatchObject({ code: EXIT.notFound, output: expect.stringContaining('Versions are by:') });
    const decided = async (): Promise<boolean> => {
      const carts = await Promise.all(managers.flatMap((one) => [one.getEntity('cart-4'), one.getEntity('cart-3')]));
      const pending = await Promise.all(managers.map((one) => one.getPendingConflicts()));
      const shown = carts.map((cart) => cart?.data.by).join();
      return shown === 'us,us both,us,us both' && pending.every((waiting) => waiting.length === 3);
    };
    await until(decided);
  });

  it('a conflict storm with its hot entities, and clocks', async () => {
    const [hot, clocks] = await Promise.all([verb(namespace, 'hot', '--top', '3'), json(namespace, 'clock-report')]);
    expect(hot.code, hot.output).toBe(EXIT.failed);
    expect(hot.output).toMatch(/eu +\d+ +\d+ +\d+\.\d% +conflict storm/);
    expect(hot.output).toMatch(/cart-\d +\d+ +(eu|us)/);
    expect(clocks.code, clocks.output).toBe(EXIT.ok);
    const { rows, findings } = JSON.parse(clocks.output);
    expect(rows.map(({ node }: { node: string }) => node)).toEqual(['eu', 'slow', 'us']);
    // One machine, one clock: what is stated has to hold.
    for (const { offsetMs, boundMs } of rows) expect(Math.abs(offsetMs)).toBeLessThanOrEqual(boundMs);
    expect(findings).toEqual([]);
  });

  it('ctrl-C ends the showing of a recovery, not the recovery', async () => {
    const unbounded = args(namespace, ['recover', 'slow']).slice(2);
    await using first = await startCanopy(unbounded);
    await first.line(/slow: reading again what it missed for \S+: log 25 % \(300 of 1200\), 150\/s, 6s left/);
    first.signal('SIGINT');
    expect((await first.exited).code, first.output).toBe(EXIT.interrupted);
    expect(first.output).toContain('interrupted; slow goes on with it');
    await using second = await startCanopy(['-o', 'json', ...unbounded]);
    gate.resolve();
    expect((await second.exited).code, second.output).toBe(EXIT.ok);
    expect(JSON.parse(second.output)).toMatchObject({ node: 'slow', mode: 'resync' });
  });
});
