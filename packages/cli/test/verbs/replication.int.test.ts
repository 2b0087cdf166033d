/** `canopy replication` against a real server: a leader with two followers, and masters, in this process. */
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import {
  LeaderFollowerManager,
  type ManagedReplica,
  type ManagerToServe,
  MemoryProgressChannel,
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

class MapState implements StateStore {
  readonly entries = new Map<string, unknown>();

  get(key: string): unknown {
    return this.entries.get(key);
  }

  set(key: string, value: unknown): number {
    this.entries.set(key, value);
    return 0;
  }

  delete(key: string): boolean {
    return this.entries.delete(key);
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  getAll(): Map<string, unknown> {
    return new Map(this.entries);
  }

  getVersion(): number {
    return 0;
  }
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
  const rebuilt = new MapState();
  let leader: LeaderFollowerManager;

  const make = async (nodeId: string, role: ReplicationRole, stateStore: StateStore = new MapState()) => {
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
  });

  it('a node that does not answer is named, can not be recovered, and is taken out', async () => {
    expect((await verb(namespace, 'add', 'n9')).code).toBe(EXIT.ok);
    const [lag, recover, unsure] = await Promise.all([
      canopy(['--timeout', '3s', 'replication', 'lag', '-n', namespace, '-s', nats.url]),
      verb(namespace, 'recover', 'n9'),
      verb(namespace, 'remove', 'n9'),
    ]);
    expect(lag).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('! n9: others know of it') });
    expect(recover).toMatchObject({
      code: EXIT.unreachable,
      output: expect.stringContaining('REPLICATION_NODE_SILENT'),
    });
    expect(unsure).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('--yes') });
    expect((await verb(namespace, 'remove', 'n9', '--yes')).code).toBe(EXIT.ok);
    expect(leader.getConnectedFollowers()).not.toContain('n9');
  });

  it('a namespace that nobody serves, and one that can not be', async () => {
    const [nobody, wrong] = await Promise.all([
      canopy(['--timeout', '2s', 'replication', 'status', '-n', 'ordres', '-s', nats.url]),
      verb('a.b', 'status'),
    ]);
    expect(nobody).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('REPLICATION_NOBODY') });
    expect(wrong).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('a namespace is') });
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
  const gate = Promise.withResolvers<void>();
  const decided: unknown[] = [];
  const version = (masterId: string, data: Record<string, unknown>) => {
    return { masterId, data, vectorClock: { [masterId]: 3 }, timestamp: Date.UTC(2026, 10, 21) };
  };
  const conflict = {
    entityId: 'cart-7',
    detectedAt: env.clock.wall(),
    versions: [version('eu', { items: ['milk'] }), version('us', { items: ['bread'] })],
    pending: true,
  };

  /** By the port: it counts as many conflicts as it is told to. */
  const master = (node: string): ManagedReplica => ({
    node,
    kind: 'master',
    knows: () => ['eu', 'us'],
    status: () => ({
      kind: 'master',
      masterId: node,
      durable: true,
      strategy: 'manual',
      eventsApplied: 40,
      waiting: 0,
      unsent: 0,
      rejected: 0,
      conflictsDetected: 6,
      pendingConflicts: 1,
      conflictRate: 0.15,
      vectorClock: { eu: 20, us: 20 },
      lastError: undefined,
    }),
    conflicts: async (entityId) => (entityId === undefined || entityId === 'cart-7' ? [conflict] : []),
    resolve: async (entityId, data) => void decided.push([entityId, data]),
    hot: () => [{ entityId: 'cart-7', conflicts: 6, atMost: 0 }],
    clock: () => ({
      self: { nodeId: node, last: undefined, aheadMs: 3, rejected: 2, rejectedAheadMs: 75_000 },
      members: [],
    }),
    resync: () => gate.promise,
    progress: () => ({ phase: 'log', done: 300, total: 1200, percent: 25, perSecond: 150, leftMs: 6000 }),
  });

  beforeAll(async () => {
    for (const node of ['eu', 'us']) await serve(namespace, master(node));
  });

  it('conflicts with their versions and clocks, and the decision', async () => {
    const [list, detail, none] = await Promise.all([
      verb(namespace, 'conflicts'),
      verb(namespace, 'conflicts', 'cart-7'),
      verb(namespace, 'conflicts', 'cart-8'),
    ]);
    expect(list.code, list.output).toBe(EXIT.ok);
    expect(list.output).toMatch(/cart-7 +waits on eu, us +eu, us +\S+ ago/);
    expect(detail.output).toMatch(/us +2026-11-21T00:00:00.000Z +us:3 +{"items":\["bread"\]}/);
    expect(none).toMatchObject({ code: EXIT.notFound, output: expect.stringContaining('CONFLICT_UNKNOWN') });
    const picked = await verb(namespace, 'resolve', 'cart-7', '--pick', 'us');
    expect(picked.code, picked.output).toBe(EXIT.ok);
    const [written, both, unknown] = await Promise.all([
      json(namespace, 'resolve', 'cart-7', '--data', '{"items":[]}'),
      verb(namespace, 'resolve', 'cart-7', '--data', '{}', '--pick', 'us'),
      verb(namespace, 'resolve', 'cart-7', '--pick', 'asia'),
    ]);
    expect(JSON.parse(written.output)).toMatchObject({ entityId: 'cart-7', data: { items: [] } });
    expect(decided).toEqual([
      ['cart-7', { items: ['bread'] }],
      ['cart-7', { items: [] }],
    ]);
    expect(both).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('give one of --data') });
    expect(unknown).toMatchObject({ code: EXIT.notFound, output: expect.stringContaining('Versions are by: eu, us') });
  });

  it('hot entities in a storm, and clocks', async () => {
    const [hot, clocks] = await Promise.all([verb(namespace, 'hot'), json(namespace, 'clock-report')]);
    expect(hot.code, hot.output).toBe(EXIT.failed);
    expect(hot.output).toMatch(/eu +6 +40 +15.0% +conflict storm/);
    expect(hot.output).toMatch(/cart-7 +6 +eu/);
    expect(clocks.code).toBe(EXIT.failed);
    const { rows, findings } = JSON.parse(clocks.output);
    // One machine, one clock: what is stated has to hold.
    for (const { offsetMs, boundMs } of rows) expect(Math.abs(offsetMs)).toBeLessThanOrEqual(boundMs);
    expect(findings.map(({ code, node }: Record<string, unknown>) => [code, node])).toEqual([
      ['timestamps_rejected', 'eu'],
      ['timestamps_rejected', 'us'],
    ]);
  });

  it('ctrl-C ends the showing of a recovery, not the recovery', async () => {
    await using first = await startCanopy(
      args(namespace, ['recover', 'eu']).filter((one) => !/^(--timeout|20s)$/.test(one)),
    );
    await first.line(/eu: reading again what it missed for \S+: log 25 % \(300 of 1200\), 150\/s, 6s left/);
    first.signal('SIGINT');
    expect((await first.exited).code, first.output).toBe(EXIT.interrupted);
    expect(first.output).toContain('interrupted; eu goes on with it');
    await using second = await startCanopy(['-o', 'json', ...args(namespace, ['recover', 'eu'])]);
    gate.resolve();
    expect((await second.exited).code, second.output).toBe(EXIT.ok);
    expect(JSON.parse(second.output)).toMatchObject({ node: 'eu', mode: 'resync' });
  });
});
