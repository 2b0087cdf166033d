/** Questions and answers over the bus: real managers on a log in memory, the memory twin of NATS between them and the asker. */
import { CanopyError } from '@canopy/core';
import { MemoryNats, type MemorySession } from '@canopy/nats/memory';
import {
  type CheckpointStore,
  EventSubscriber,
  LeaderFollowerManager,
  type ManagedReplica,
  type ManagerToServe,
  MemoryLog,
  MemoryPipelineSource,
  MemoryProgressChannel,
  ReplicationAdmin,
  type ReplicationResponder,
  ReplicationRole,
  type ServeReplicationOptions,
  serveReplication,
} from '@canopy/replication';
import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeQuestion, encodeMessage, MESSAGE_BYTES_MAX } from '../../src/admin/messages.ts';
import { answersSubject, everybodySubject, nodeSubject } from '../../src/admin/subjects.ts';
import { MemoryState } from '../leader-follower/memory-state.ts';
import { passingTime } from '../passing-time.ts';

/** The code of what it rejects with; undefined when it does not. */
const codeOf = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => (CanopyError.is(error) ? error.code : String(error)),
  );

function system(namespace = 'orders') {
  const env = passingTime();
  const hub = new MemoryNats({ clock: env.clock });
  const session: MemorySession = hub.session();
  const log = new MemoryLog(namespace, { clock: env.clock });
  const progress = new MemoryProgressChannel();
  const node = async (nodeId: string, role: ReplicationRole, more: Partial<ServeReplicationOptions> = {}) => {
    const stateStore = new MemoryState();
    const make = (store = stateStore): LeaderFollowerManager => {
      const config = { nodeId, role, namespace, pipeline: log.connect(nodeId), stateStore: store, progress };
      const manager = new LeaderFollowerManager(
        { ...config, allowUnprovenPromotion: true, quorumCallback: () => true },
        env,
      );
      onTestFinished(() => manager.close());
      return manager;
    };
    const manager = make();
    await manager.start();
    const responder = await serve(manager, more);
    return { manager, responder, make };
  };
  const serve = async (
    manager: ManagerToServe,
    more: Partial<ServeReplicationOptions> = {},
  ): Promise<ReplicationResponder> => {
    const responder = await serveReplication({ bus: session.bus, namespace, manager, ...more }, env);
    onTestFinished(() => responder.stop());
    return responder;
  };
  const admin = (more: { timeoutMs?: number; expected?: string[] } = {}) =>
    new ReplicationAdmin({ bus: hub.session().bus, namespace, timeoutMs: 5000, ...more }, env);
  onTestFinished(() => session.close());
  return { env, hub, session, log, node, serve, admin };
}

class Checkpoints implements CheckpointStore {
  readonly #offsets = new Map<string, number>();

  async get(key: string): Promise<number | null> {
    return this.#offsets.get(key) ?? null;
  }

  async set(key: string, offset: number): Promise<void> {
    this.#offsets.set(key, offset);
  }

  async delete(key: string): Promise<void> {
    this.#offsets.delete(key);
  }

  async getAll(): Promise<Map<string, number>> {
    return new Map(this.#offsets);
  }
}

/** A master by the port, with what the test gives it. */
function standIn(name: string, more: Partial<ManagedReplica> = {}): ManagedReplica {
  return { node: name, kind: 'master', knows: () => [], status: () => masterStatus(name), ...more };
}

function masterStatus(masterId: string) {
  const counts = { eventsApplied: 0, waiting: 0, unsent: 0, rejected: 0, conflictsDetected: 0, pendingConflicts: 0 };
  const rest = { durable: false, strategy: 'manual', conflictRate: 0, vectorClock: {}, lastError: undefined };
  return { kind: 'master', masterId, ...counts, ...rest } as const;
}

const side = (masterId: string, data: Record<string, unknown> | null) => {
  return { masterId, data, vectorClock: { [masterId]: 1 }, timestamp: 1 };
};

describe('status and lag', () => {
  it('a leader and its followers, and who of the known ones is silent', async () => {
    const { node, admin } = system();
    const leader = await node('n1', ReplicationRole.Leader);
    const follower = await node('n2', ReplicationRole.Follower);
    await leader.manager.write({ key: 'k', value: 1, operation: 'update' }, { ack: 'followers:1' });
    await leader.manager.registerFollower('gone');
    const { nodes, silent, findings } = await admin({ timeoutMs: 1500 }).status();
    expect(nodes.map(({ node: name, status }) => [name, 'role' in status && status.role])).toEqual([
      ['n1', 'leader'],
      ['n2', 'follower'],
    ]);
    expect(silent).toEqual(['gone']);
    expect(findings.map(({ code, node: name }) => [code, name])).toEqual([['silent', 'gone']]);
    await admin().removeMember('gone');
    expect(leader.manager.getConnectedFollowers()).not.toContain('gone');
    await admin().addMember('n3');
    expect(leader.manager.getConnectedFollowers()).toContain('n3');
    await follower.responder.stop();
    expect(await codeOf(admin().recover('n2'))).toBe('REPLICATION_NODE_SILENT');
  });

  it('a gathering ends when all who are known have answered, not at its timeout', async () => {
    const { env, node, admin } = system();
    await node('n1', ReplicationRole.Leader);
    const asked = env.clock.monotonic();
    const lag = await admin({ timeoutMs: 60_000 }).lag();
    expect(lag).toMatchObject([{ node: 'n1', behind: 0 }]);
    expect(env.clock.monotonic() - asked).toBeLessThan(30_000);
  });

  it('a known node that is slow is waited for, longer than silence lasts', async () => {
    const { env, serve, admin } = system();
    const slow = async () => {
      await env.clock.sleep(900);
      return masterStatus('b');
    };
    await serve(standIn('a', { knows: () => ['b'] }));
    await serve(standIn('b', { status: slow }));
    const { nodes, silent } = await admin({ timeoutMs: 60_000 }).status();
    expect(nodes.map(({ node: name }) => name)).toEqual(['a', 'b']);
    expect(silent).toEqual([]);
  });

  it('nobody answers in a namespace that nobody serves; what is expected and silent is named', async () => {
    const { env, admin, node } = system();
    await node('n1', ReplicationRole.Leader);
    const other = new ReplicationAdmin(
      { bus: new MemoryNats({ clock: env.clock }).session().bus, namespace: 'other', timeoutMs: 50 },
      env,
    );
    expect(await codeOf(other.status())).toBe('REPLICATION_NOBODY');
    expect(await codeOf(other.conflicts())).toBe('REPLICATION_NOBODY');
    expect((await admin({ timeoutMs: 1500, expected: ['n7'] }).status()).silent).toEqual(['n7']);
    expect(await codeOf(admin().conflicts())).toBe('REPLICATION_NO_MASTER');
  });

  it('a subscriber shows its topics', async () => {
    const { env, serve, admin } = system();
    const source = new MemoryPipelineSource();
    const config = { namespace: 'orders', checkpointStore: new Checkpoints(), onEvent: async () => {} };
    const subscriber = new EventSubscriber(source, config, env);
    onTestFinished(() => subscriber.close());
    await subscriber.subscribe('paid');
    await subscriber.poll();
    await serve(subscriber, { node: 'reports' });
    expect(await admin().lag()).toMatchObject([{ node: 'reports', role: 'subscriber', topic: 'paid', behind: 0 }]);
  });
});

describe('conflicts', () => {
  it('are listed, and decided by the master that knows most versions', async () => {
    const { serve, admin } = system();
    const decided: unknown[] = [];
    const conflict = { entityId: 'cart', detectedAt: 1, pending: true };
    const versions = [side('a', { n: 1 }), side('b', { n: 2 })];
    const resolve = (name: string) => async (entityId: string, data: unknown) =>
      void decided.push([name, entityId, data]);
    await serve(standIn('a', { conflicts: async () => [{ ...conflict, versions }], resolve: resolve('a') }));
    const more = [...versions, side('c', null)];
    const ofB = async (id?: string) => (id === undefined || id === 'cart' ? [{ ...conflict, versions: more }] : []);
    await serve(standIn('b', { conflicts: ofB, resolve: resolve('b') }));
    const { conflicts } = await admin().conflicts({ entityId: 'cart' });
    expect(conflicts).toMatchObject([{ entityId: 'cart', pendingOn: ['a', 'b'], versions: more }]);
    expect(await admin().resolve('cart', { pick: 'a' })).toEqual({ entityId: 'cart', node: 'b', data: { n: 1 } });
    expect(await admin().resolve('cart', { pick: 'c' })).toMatchObject({ data: null });
    await admin().resolve('cart', { data: { n: 3 } }, { node: 'a' });
    expect(decided).toEqual([
      ['b', 'cart', { n: 1 }],
      ['b', 'cart', null],
      ['a', 'cart', { n: 3 }],
    ]);
    expect(await codeOf(admin().resolve('cart', { pick: 'z' }))).toBe('CONFLICT_VERSION_UNKNOWN');
    expect(await codeOf(admin().resolve('none', { data: {} }, { node: 'b' }))).toBe('CONFLICT_UNKNOWN');
    expect(await codeOf(admin().resolve('cart', { data: [] as never }))).toBe('REPLICATION_ADMIN_INVALID');
    expect(await codeOf(admin().resolve('', { data: {} }, { node: 'b' }))).toBe('REPLICATION_ADMIN_INVALID');
  });

  it('a decision that takes too long may have been written: that is not told as silence', async () => {
    const { env, serve, hub } = system();
    const conflicts = async () => [{ entityId: 'x', detectedAt: 1, pending: true, versions: [side('a', {})] }];
    const gate = Promise.withResolvers<void>();
    await serve(standIn('a', { conflicts, resolve: () => gate.promise }));
    const hasty = new ReplicationAdmin({ bus: hub.session().bus, namespace: 'orders', changeTimeoutMs: 100 }, env);
    expect(await codeOf(hasty.resolve('x', { data: {} }, { node: 'a' }))).toBe('DEADLINE_EXCEEDED');
    gate.resolve();
  });

  it('more than fit into an answer are counted, and those that wait come first', async () => {
    const { serve, admin } = system();
    const big = 'x'.repeat(20_000);
    const all = Array.from({ length: 50 }, (_, i) => {
      return { entityId: `e${i}`, detectedAt: i, pending: i === 3, versions: [side('a', { big })] };
    });
    await serve(standIn('a', { conflicts: async () => all }));
    const { conflicts, more } = await admin().conflicts();
    expect(conflicts[0]?.entityId).toBe('e3');
    expect(conflicts[1]?.entityId).toBe('e49');
    expect(conflicts.length).toBeLessThan(50);
    expect(more).toEqual({ a: 50 - conflicts.length });
    const one = { entityId: 'huge', detectedAt: 1, pending: true, versions: [side('a', { big: 'x'.repeat(600_000) })] };
    await serve(standIn('b', { conflicts: async () => [one] }));
    expect(await codeOf(admin().conflicts())).toBe('REPLICATION_ADMIN_TOO_LARGE');
  });

  it('hot entities and clocks', async () => {
    const { serve, admin } = system();
    const self = { nodeId: 'a', last: undefined, aheadMs: 4, rejected: 1, rejectedAheadMs: 70_000 };
    const hot = [{ entityId: 'x', conflicts: 3, atMost: 0 }];
    await serve(standIn('a', { hot: () => hot, clock: () => ({ self, members: [] }) }));
    expect(await admin().hot()).toMatchObject({ entities: [{ ...hot[0], node: 'a' }], masters: [{ node: 'a' }] });
    const { rows, findings } = await admin().clockReport();
    expect(rows).toMatchObject([{ node: 'a', aheadMs: 4, rejected: 1 }]);
    expect(Math.abs(rows[0]?.offsetMs ?? NaN)).toBeLessThanOrEqual(rows[0]?.boundMs ?? 0);
    expect(findings.map(({ code }) => code)).toEqual(['timestamps_rejected']);
    expect(await codeOf(admin().hot({ limit: 0 }))).toBe('REPLICATION_ADMIN_INVALID');
  });
});

describe('recover', () => {
  it('a follower reads again what it missed, and a second asker joins the first', async () => {
    const { node, admin, serve } = system();
    await node('n1', ReplicationRole.Leader);
    await node('n2', ReplicationRole.Follower);
    expect(await admin().recover('n2')).toMatchObject({ state: 'done', mode: 'rebuild', run: 1 });
    expect(await admin().recover('n2', { mode: 'resync' })).toMatchObject({ state: 'done', mode: 'resync', run: 2 });
    const gate = Promise.withResolvers<void>();
    const progress = () => ({ phase: 'log', done: 1, total: 4, percent: 25, perSecond: 2, leftMs: 1500 }) as const;
    await serve(standIn('m', { resync: () => gate.promise, progress }));
    const seen: unknown[] = [];
    const first = admin().recover('m', { onProgress: (report) => seen.push(report.progress?.percent) });
    const leaver = new AbortController();
    const second = admin().recover('m', { signal: leaver.signal, onProgress: () => leaver.abort(new Error('left')) });
    await expect(second).rejects.toThrow('left');
    gate.resolve();
    expect(await first).toMatchObject({ state: 'done', run: 1 });
    expect(seen[0]).toBe(25);
    expect(await codeOf(admin().recover('m', { mode: 'rebuild' }))).toBe('REPLICATION_ADMIN_UNSUPPORTED');
  });

  it('a node that can rebuilds from nothing, except while it leads; a failure is told', async () => {
    const { node, admin } = system();
    const failing = async (): Promise<void> => {
      throw new Error('no room');
    };
    const leader = await node('n1', ReplicationRole.Leader, { rebuild: failing });
    expect(await codeOf(admin().recover('n1'))).toBe('RECOVERY_REFUSED');
    for (let i = 0; i < 5; i++) await leader.manager.write({ key: `k${i}`, value: i, operation: 'update' });
    const fresh = new MemoryState();
    const follower = await node('n2', ReplicationRole.Follower, {
      rebuild: async (adopt) => {
        await follower.manager.close();
        const next = follower.make(fresh);
        adopt(next);
        await next.start();
        await next.waitForSequence(leader.manager.getAppliedSequence());
      },
    });
    expect(await admin().recover('n2')).toMatchObject({ state: 'done', mode: 'rebuild' });
    expect(fresh.get('k4')).toBe(4);
    expect((await admin().lag()).map(({ behind }) => behind)).toEqual([0, 0]);
    await node('n3', ReplicationRole.Follower, { rebuild: failing });
    const error = await admin()
      .recover('n3')
      .catch((caught: Error) => caught);
    expect(await codeOf(Promise.reject(error))).toBe('RECOVERY_FAILED');
    expect(String(error)).toContain('no room');
    expect((await admin().status()).findings.map(({ code }) => code)).toContain('recovery_failed');
  });
});

describe('what comes over the wire', () => {
  it('a readOnly node refuses what changes anything; names that can not be are refused', async () => {
    const { node, admin, serve } = system();
    const { manager } = await node('n1', ReplicationRole.Leader, { readOnly: true });
    expect(await codeOf(admin().recover('n1'))).toBe('REPLICATION_ADMIN_READ_ONLY');
    expect(await codeOf(admin().addMember('x'))).toBe('REPLICATION_ADMIN_READ_ONLY');
    expect((await admin().status()).nodes).toHaveLength(1);
    expect(await codeOf(serve(manager, { node: 'other' }))).toBe('OPTIONS_INVALID');
    expect(await codeOf(serve(manager, { namespace: 'a.b' }))).toBe('OPTIONS_INVALID');
    expect(await codeOf(serve({} as never))).toBe('OPTIONS_INVALID');
    expect(await codeOf(admin().recover('n1', { mode: 'x' as never }))).toBe('REPLICATION_ADMIN_READ_ONLY');
  });

  it('no question of another version, no unknown one, no rubbish brings a node down', async () => {
    const { serve, hub, admin } = system();
    await serve(standIn('n 1.*>', {}));
    const { bus } = hub.session();
    const ask = async (fields: object) => {
      const question = encodeMessage({ v: 1, id: 'q', op: 'status', ...fields });
      const { data } = await bus.request(nodeSubject('orders', 'n 1.*>'), question, { timeoutMs: 5000 });
      return JSON.parse(new TextDecoder().decode(data));
    };
    expect(await ask({})).toMatchObject({ v: 1, id: 'q', node: 'n 1.*>', kind: 'master', ok: true });
    expect(await ask({ v: 2 })).toMatchObject({ ok: false, error: { code: 'REPLICATION_ADMIN_VERSION' } });
    expect(await ask({ op: 'drop' })).toMatchObject({ error: { code: 'REPLICATION_ADMIN_UNSUPPORTED' } });
    expect(await ask({ op: 'remove' })).toMatchObject({ error: { code: 'REPLICATION_ADMIN_UNSUPPORTED' } });
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"v":1}',
      '{"v":1,"id":"a.b","op":"status"}',
      'x'.repeat(MESSAGE_BYTES_MAX + 1),
    ])
      bus.publish(everybodySubject('orders'), new TextEncoder().encode(text));
    expect((await admin().status()).nodes).toHaveLength(1);
    // The id becomes a part of a subject.
    for (const id of ['a.b', 'a >', '*', '', 'x'.repeat(65)])
      expect(decodeQuestion(encodeMessage({ v: 1, id, op: 'status' }))).toBeUndefined();
  });

  it('answers that are none, or of another asking, are passed over; a second answer of one node too', async () => {
    const { serve, hub, admin } = system();
    await serve(standIn('n1'));
    const { bus } = hub.session();
    const meddler = new AbortController();
    const questions = bus.subscribe(everybodySubject('orders'), { signal: meddler.signal });
    const meddling = (async () => {
      for await (const { data } of questions) {
        const { id } = JSON.parse(new TextDecoder().decode(data)) as { id: string };
        for (const text of ['{', `{"id":"other","v":1,"node":"x","ok":true}`, `{"id":"${id}","v":1}`])
          bus.publish(answersSubject('orders', id), new TextEncoder().encode(text));
      }
    })();
    expect((await admin().status()).nodes.map(({ node: name }) => name)).toEqual(['n1']);
    meddler.abort();
    await meddling;
  });

  it('more questions at once than are allowed are refused, and answered', async () => {
    const { serve, hub } = system();
    const gate = Promise.withResolvers<void>();
    await serve(standIn('n1', { status: async () => gate.promise.then(() => masterStatus('n1')) }));
    const { bus } = hub.session();
    const question = encodeMessage({ v: 1, id: 'q', op: 'status' });
    const asked = Array.from({ length: 20 }, () =>
      bus.request(nodeSubject('orders', 'n1'), question, { timeoutMs: 9000 }),
    );
    await asked[19];
    gate.resolve();
    const answers = (await Promise.all(asked)).map(({ data }) => JSON.parse(new TextDecoder().decode(data)));
    expect(answers.filter(({ ok }) => ok)).toHaveLength(16);
    expect(answers[19].error.code).toBe('REPLICATION_ADMIN_BUSY');
  });
});
