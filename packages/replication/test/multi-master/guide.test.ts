/** The examples of the replication guide that concern masters, against the real thing: masters on a log with stores of their own. */

import { type Entity, MultiMasterManager, VectorClock } from '@canopy/replication/multi-master';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MemoryLog } from '../../src/index.ts';
import type { MultiMasterConfig } from '../../src/multi-master/options.ts';
import { Disk } from './disk.ts';

let log: MemoryLog;
const open: MultiMasterManager[] = [];
beforeEach(() => {
  log = new MemoryLog('guide');
});
afterEach(async () => {
  for (const master of open.splice(0)) await master.close();
});

const env = (masterId: string) => ({ masterId, pipeline: log.connect(masterId), stateManager: new Disk().open() });
const make = (config: MultiMasterConfig): MultiMasterManager => {
  const master = new MultiMasterManager(config);
  open.push(master);
  return master;
};
const until = (check: () => Promise<void> | void) => vi.waitFor(check, { timeout: 10_000, interval: 5 });
/** Writes of both before either hears of the other. */
const apart = async (write: () => Promise<unknown>): Promise<void> => {
  log.fault = ({ operation }) => (operation === 'append' ? { outcome: 'fail' } : undefined);
  await write();
  log.fault = undefined;
};

it('creating masters, writing data', async () => {
  const usaMaster = make({ ...env('master-usa'), conflictStrategy: 'lww' });
  const euMaster = make({ ...env('master-eu'), conflictStrategy: 'lww' });
  await usaMaster.subscribe();
  await euMaster.subscribe();
  const result = await usaMaster.write('customer-123', { name: 'Alice', email: 'alice@example.com', region: 'USA' });
  expect(result).toEqual({ success: true, masterId: 'master-usa', entityId: 'customer-123', queued: false });
  await euMaster.write('customer-123', { name: 'Alice Smith', email: 'alice@example.com', region: 'USA' });
  await until(async () => {
    expect(usaMaster.getVectorClock().toJSON()).toEqual({ 'master-usa': 1, 'master-eu': 1 });
    expect(await euMaster.getEntity('customer-123')).toEqual(await usaMaster.getEntity('customer-123'));
  });
});

it('vector clocks explained', () => {
  const clockA = new VectorClock({ usa: 1, eu: 0 });
  const clockB = new VectorClock({ usa: 0, eu: 1 });
  const clockC = new VectorClock({ usa: 1, eu: 1 });
  expect(VectorClock.compare(clockA, clockB)).toBe('concurrent');
  expect(VectorClock.compare(clockA, clockC)).toBe('before');
  expect(VectorClock.compare(clockC, clockA)).toBe('after');
  expect(VectorClock.merge(clockA, clockB).toJSON()).toEqual({ usa: 1, eu: 1 });
});

it('conflict handling', async () => {
  const master = make(env('master-1'));
  await master.subscribe();
  await master.write('customer-123', { name: 'here' });
  const event = {
    type: 'write',
    masterId: 'master-2',
    entityId: 'customer-123',
    entityType: 'Customer',
    data: { name: 'there' },
    vectorClock: { 'master-2': 1 },
    timestamp: Date.now(),
  };
  const result = await master.applyRemoteEvent(event);
  expect(result.isConflict).toBe(true);
  const [conflict] = await master.getConflicts();
  expect(new Date(conflict?.detectedAt ?? 0).getFullYear()).toBeGreaterThan(2000);
  expect(conflict?.versions.map(({ masterId, data }) => [masterId, data])).toEqual([
    ['master-1', { name: 'here' }],
    ['master-2', { name: 'there' }],
  ]);
  expect(conflict?.resolutionOptions.join(', ')).toBe('keep-local, keep-remote, lww, merge');
});

it('manual conflict resolution, and masters during a partition', async () => {
  const [master, other] = ['master-1', 'master-2'].map((id) => make({ ...env(id), conflictStrategy: 'manual' }));
  if (master === undefined || other === undefined) return;
  const notified: string[] = [];
  master.on('conflictDetected', async (conflict) => {
    if (master.getConflictStrategy() === 'manual') notified.push(conflict.entityId);
  });
  await master.subscribe();
  await other.subscribe();
  await apart(async () => {
    await master.write('customer-123', { name: 'Alice' });
    await other.write('customer-123', { phone: '1' });
  });
  await until(async () => expect((await master.getPendingConflicts()).length).toBe(1));
  await until(async () => expect((await other.getPendingConflicts()).length).toBe(1));
  for (const conflict of await master.getPendingConflicts()) {
    const resolvedData = Object.assign({}, ...conflict.versions.map(({ data }) => data));
    await master.resolveConflict(conflict.entityId, resolvedData);
  }
  expect(notified).toEqual(['customer-123']);
  await until(async () => {
    expect(await other.getPendingConflicts()).toEqual([]);
    expect((await other.getEntity('customer-123'))?.data).toEqual({ name: 'Alice', phone: '1' });
  });
});

it('regional masters: writes go to the nearest', async () => {
  const regions = ['us-east', 'us-west', 'eu-west', 'ap-south'];
  const masters = regions.map((region) => make({ ...env(`master-${region}`), conflictStrategy: 'lww' }));
  for (const master of masters) await master.subscribe();
  const routeWrite = (userId: string, data: Record<string, unknown>) =>
    masters.find((each) => each.getMasterId().includes(userId.split('/')[0] as string))?.write(userId, data);
  for (const region of regions) expect((await routeWrite(`${region}/1`, {}))?.masterId).toBe(`master-${region}`);
});

it('active-active with a merge of our own', async () => {
  type Cart = { tags?: string[]; viewCount?: number };
  const mergeFn = (local: Entity, remote: Entity): Entity => {
    const [mine, theirs] = [local.data as Cart, remote.data as Cart];
    return {
      ...remote,
      $id: local.$id,
      $type: local.$type,
      $version: Math.max(local.$version, remote.$version) + 1,
      data: {
        ...local.data,
        ...remote.data,
        tags: [...new Set([...(mine.tags ?? []), ...(theirs.tags ?? [])])],
        viewCount: Math.max(mine.viewCount ?? 0, theirs.viewCount ?? 0),
      },
      updatedAt: Math.max(local.updatedAt, remote.updatedAt),
    };
  };
  const [a, b] = ['master-1', 'master-2'].map((id) => make({ ...env(id), conflictStrategy: 'custom', mergeFn }));
  if (a === undefined || b === undefined) return;
  await a.subscribe();
  await b.subscribe();
  await apart(async () => {
    await a.write('page', { tags: ['x', 'y'], viewCount: 7 });
    await b.write('page', { tags: ['y', 'z'], viewCount: 5 });
  });
  await until(async () => {
    for (const master of [a, b])
      expect((await master.getEntity('page'))?.data).toEqual({ tags: ['x', 'y', 'z'], viewCount: 7 });
  });
});

it('causal consistency: what depends comes after', async () => {
  const master = make(env('master-1'));
  const other = make(env('master-2'));
  await master.subscribe();
  await other.subscribe();
  const steps: unknown[] = [];
  other.on('eventApplied', async () => steps.push((await other.getEntity('entity-1'))?.data.step));
  await master.write('entity-1', { step: 1 });
  expect(master.getVectorClock().toJSON()).toEqual({ 'master-1': 1 });
  await master.write('entity-1', { step: 2 });
  expect(master.getVectorClock().toJSON()).toEqual({ 'master-1': 2 });
  await until(async () => expect((await other.getEntity('entity-1'))?.data).toEqual({ step: 2 }));
  expect(other.getVectorClock().get('master-1')).toBe(2);
});

it('adding, recovering and removing a master; metrics, conflict storms and clocks', async () => {
  const master = make(env('master-1'));
  await master.subscribe();
  for (let i = 0; i < 20; i++) await master.write(`e${i % 4}`, { i }, { ack: 'log' });
  const newMaster = make({ ...env('master-new'), conflictStrategy: 'lww', eventBufferSize: 10_000 });
  await newMaster.subscribe();
  await newMaster.write('_cluster:master-new', { status: 'online', joinedAt: Date.now() });
  expect((await newMaster.getEntity('e3'))?.data).toEqual({ i: 19 });
  const metrics = newMaster.getMetrics();
  expect(metrics).toMatchObject({ writesLocal: 1, eventsApplied: 20, eventBufferSize: 0, conflictsDetected: 0 });
  expect(metrics.conflictsDetected / metrics.eventsApplied).toBe(0);

  await apart(async () => {
    await master.write('hot', { by: 1 });
    await newMaster.write('hot', { by: 2 });
  });
  await until(async () => expect((await master.getConflicts()).length).toBe(1));
  const byEntity = new Map<string, number>();
  for (const conflict of await master.getConflicts())
    byEntity.set(conflict.entityId, (byEntity.get(conflict.entityId) ?? 0) + 1);
  expect([...byEntity]).toEqual([['hot', 1]]);
  expect(master.hotEntities(10)).toMatchObject([{ entityId: 'hot', conflicts: 1 }]);
  const entity = await master.getEntity('hot');
  expect(Math.abs(Date.now() - (entity?.updatedAt ?? 0))).toBeLessThan(60_000);
  expect(master.clockReport().self).toMatchObject({ nodeId: 'master-1', rejected: 0 });

  await newMaster.write('_cluster:master-new', { status: 'leaving', leftAt: Date.now() });
  await newMaster.leave();
  await until(async () =>
    expect((await master.getEntity('_cluster:master-new'))?.data).toMatchObject({ status: 'leaving' }),
  );
});
