/**
 * Every TypeScript block of the README runs as it is, on a real server. A block is the body of an asynchronous function whose parameters are the names that it
 * uses and does not make. A block without a test fails, and so does a test without its block.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import * as main from '@canopy/replication';
import * as masters from '@canopy/replication/multi-master';
import * as yjs from '@canopy/replication/yjs';
import { eventually, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const BLOCKS = [...README.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code as string);
const MODULES: Record<string, object> = {
  '@canopy/replication': main,
  '@canopy/replication/multi-master': masters,
  '@canopy/replication/yjs': yjs,
};
const ran = new Set<string>();

let session: NatsSession;
let ended: () => Promise<void>;
beforeAll(async () => {
  const nats = await testNatsServer();
  session = await connectNats(nats.connection, { name: 'readme', env: systemEnv() });
  ended = async () => {
    await session.close();
    await nats[Symbol.asyncDispose]();
  };
});
afterAll(() => ended());

type Names = Record<string, unknown>;

/** Runs the one block that has the text; gives the names asked for. */
async function run(
  has: string,
  given: Names,
  wanted: readonly string[] = [],
  edit = (code: string) => code,
): Promise<Names> {
  const found = BLOCKS.filter((block) => block.includes(has));
  expect(found, has).toHaveLength(1);
  const block = found[0] as string;
  ran.add(block);
  const code = edit(block).replace(/^import (\{[^}]+\}) from '([^']+)';/gm, 'const $1 = modules["$2"];');
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const body = `"use strict";\n${code}\nreturn { ${wanted.join(', ')} };`;
  const program = new AsyncFunction('modules', ...Object.keys(given), body);
  return program(MODULES, ...Object.values(given));
}

const done = (close: () => Promise<unknown> | unknown): void => onTestFinished(async () => void (await close()));
const heard = () => {
  const calls: unknown[][] = [];
  return Object.assign((...args: unknown[]) => void calls.push(args), { calls });
};

it('clocks', async () => {
  const event = { hlc: new main.HybridClock({ nodeId: 'eu' }).now() };
  const { clock, stamp } = await run('new HybridClock', { lastStored: undefined, event }, ['clock', 'stamp']);
  expect(clock).toBeInstanceOf(main.HybridClock);
  expect(main.compareHybridTimestamps(stamp as main.HybridTimestamp, event.hlc)).toBeGreaterThan(0);
});

it('values that merge', async () => {
  const received = new main.ORSet<string>('eu');
  received.add('eggs');
  const given = { stored: new main.ORSet('usa').toJSON(), received: received.toJSON() };
  const { cart } = await run('ORSet.fromJSON', given, ['cart']);
  expect((cart as main.ORSet<string>).elements().sort()).toEqual(['eggs', 'milk']);
});

it('documents', async () => {
  const other = new yjs.YjsDocument();
  other.change((doc) => doc.getText('body').insert(0, 'End'));
  const { page } = await run('YjsDocument.fromJSON', { stored: new yjs.YjsDocument().toJSON(), other }, ['page']);
  const text = (page as yjs.YjsDocument).doc.getText('body').toString();
  expect([text.includes('Title\n'), text.includes('End')]).toEqual([true, true]);
});

it('leader and followers', async () => {
  const log = await main.openEventLog(session, { namespace: 'tenant-abc' });
  const progress = new main.BusProgressChannel(session.bus);
  const election = {
    leadership: { epoch: 5, signal: new AbortController().signal, isValid: () => true },
    watch: async function* ({ signal }: { signal: AbortSignal }) {
      yield 'elected';
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  };
  const snapshots = await main.blobSnapshots(session);
  const store = main.stateStore(new main.MemoryStore());
  const made = await run('followElection(manager', { log, store, election, snapshots, progress }, ['manager', 'stop']);
  const { manager, stop } = made as { manager: main.LeaderFollowerManager; stop: () => Promise<void> };
  done(() => manager.close());
  done(stop);
  const other = new main.LeaderFollowerManager({
    nodeId: 'node-2',
    role: 'follower',
    namespace: 'tenant-abc',
    pipeline: await main.openEventLog(session, { namespace: 'tenant-abc' }),
    stateStore: new main.MemoryStateStore(),
    progress,
  });
  done(() => other.close());
  await other.start();
  await eventually(() => manager.getRole() === 'leader');
  const { result } = await run("ack: 'followers:1'", { manager, other }, ['result']);
  expect(result).toMatchObject({ success: true });
  expect(await other.read('k')).toEqual({ any: 'JSON' });
});

it('conflict resolution', async () => {
  const entry = { value: { name: 'A', phone: '1' }, timestamp: 1, nodeId: 'usa' };
  const received = { value: { name: 'B' }, timestamp: 2, nodeId: 'eu' };
  const now = new main.HybridClock({ nodeId: 'usa' }).now();
  const { value } = await run('new ConflictResolver', { entry, received, now }, ['value']);
  expect(value).toEqual({ name: 'B', email: 'a@b.c' });
});

it('several masters', async () => {
  const show = heard();
  const log = await main.openEventLog(session, { namespace: 'masters' });
  const given = { log, store: new main.MemoryStore(), show };
  const { master, queued } = await run('new MultiMasterManager', given, ['master', 'queued']);
  done(() => (master as masters.MultiMasterManager).close());
  expect(queued).toBe(false);
});

it('the event log', async () => {
  const enough = new Error('enough');
  const told: unknown[] = [];
  const apply = (sequence: number, event: unknown): void => {
    told.push([sequence, event]);
    // The reader goes on for ever.
    throw enough;
  };
  const given = { session, event: { type: 'sent' }, position: 0, apply, bootstrap: heard() };
  await expect(run('log.append', given)).rejects.toBe(enough);
  expect(told).toEqual([[1, { type: 'paid', id: 7 }]]);
});

it('heartbeats, snapshots, checkpoints', async () => {
  const stage = heard();
  const given = { session, show: heard(), sequence: 7, epoch: 1, logCreatedAt: 1, lines: ['a', 'b'], stage };
  const made = await run('kvHeartbeats(session', given, ['heartbeatService', 'info', 'checkpointStore']);
  done(() => (made.heartbeatService as main.Heartbeats).close());
  expect(made.info).toMatchObject({ namespace: 'orders', sequence: 7 });
  expect(stage.calls.flat(2)).toEqual(['a', 'b']);
  expect(await (made.checkpointStore as main.CheckpointStore).getAll()).toEqual(new Map());
});

it('event subscribers', async () => {
  const source = await main.jetStreamPipelineSource(session, { namespace: 'subscribed' });
  await source.append('orders', { verb: 'made', payload: 1 });
  const checkpointStore = await main.kvCheckpoints(session, { namespace: 'subscribed', subscriber: 'readme' });
  const given = { source, checkpointStore, index: heard(), report: heard(), keep: heard() };
  const { subscriber } = await run('new EventSubscriber', given, ['subscriber']);
  expect([(subscriber as main.EventSubscriber).closed, given.report.calls]).toEqual([true, []]);
});

it('operations', async () => {
  const log = new main.MemoryLog('orders');
  const node = async (nodeId: string, role: main.ReplicationRole) => {
    const config = { nodeId, role, namespace: 'orders', pipeline: log.connect(nodeId), allowUnprovenPromotion: true };
    const manager = new main.LeaderFollowerManager({ ...config, stateStore: new main.MemoryStateStore() });
    done(() => manager.close());
    await manager.start();
    return manager;
  };
  const served = async (manager: main.ManagerToServe): Promise<void> => {
    const responder = await main.serveReplication({ bus: session.bus, namespace: 'orders', manager });
    done(() => responder.stop());
  };
  const leader = await node('node-1', 'leader');
  await served(leader);
  await served(await node('node-2', 'follower'));
  const usa = new main.MultiMasterManager({
    masterId: 'usa',
    pipeline: new main.MemoryLog('carts').connect('usa'),
    stateManager: new main.MemoryStore(),
    conflictStrategy: 'manual',
  });
  done(() => usa.close());
  await served(usa);
  await usa.write('cart-7', { items: ['milk'] });
  const theirs = { type: 'write', masterId: 'eu', entityId: 'cart-7', entityType: 'Cart', data: { items: ['bread'] } };
  await usa.applyRemoteEvent({ ...theirs, vectorClock: { eu: 1 }, timestamp: Date.now() });
  const given = { session, manager: await node('node-3', 'follower'), show: heard() };
  const { nodes } = await run('serveReplication({', given, ['nodes']);
  expect((nodes as { node: string }[]).map((each) => each.node)).toEqual(
    expect.arrayContaining(['node-1', 'node-2', 'usa']),
  );
  expect((await usa.getEntity('cart-7'))?.data).toEqual({ items: ['bread'] });
  expect(leader.getConnectedFollowers()).toContain('node-4');
});

it('stores', async () => {
  const directory = await temporaryDirectory('readme');
  done(() => directory.remove());
  const entries = async function* () {
    yield [{ key: 'customer-2', value: { name: 'Bob' } }];
  };
  const given = { entries: entries(), position: { sequence: 8, epoch: 3 } };
  const place = (code: string): string => code.replace('data/replica.db', join(directory.path, 'data', 'replica.db'));
  const { atomic, state } = await run('SqliteStore.open', given, ['atomic', 'state'], place);
  done(() => (atomic as main.SqliteStore).close());
  const { getAll, position } = state as main.AtomicStateStore;
  expect([getAll.call(state), position.call(state)]).toEqual([
    new Map([['customer-2', { name: 'Bob' }]]),
    given.position,
  ]);
});

it('every block was run', () => {
  expect(BLOCKS.filter((block) => !ran.has(block))).toEqual([]);
});
