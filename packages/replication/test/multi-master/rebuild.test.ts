/** A master that throws its state away and joins anew. The log is in memory, the time passes as fast as the work. */
import { MemoryLog, MemorySnapshots, MultiMasterManager } from '@canopy/replication';
import { expect, it, onTestFinished } from 'vitest';
import type { MultiMasterConfig } from '../../src/multi-master/options.ts';
import { passingTime } from '../passing-time.ts';
import { Disk } from './disk.ts';

async function group() {
  const env = passingTime();
  const log = new MemoryLog('group', { clock: env.clock });
  const stores = new Map<string, ReturnType<Disk['open']>>();
  const make = (masterId: string, disk: Disk, more: Partial<MultiMasterConfig> = {}): MultiMasterManager => {
    const stateManager = disk.open();
    stores.set(masterId, stateManager);
    const config = { masterId, pipeline: log.connect(masterId), stateManager };
    const master = new MultiMasterManager({ ...config, ...more }, env);
    onTestFinished(() => master.close());
    return master;
  };
  const joined = async (masterId: string, disk = new Disk(), more: Partial<MultiMasterConfig> = {}) => {
    const master = make(masterId, disk, more);
    await master.subscribe();
    return master;
  };
  const same = async (...masters: MultiMasterManager[]): Promise<void> => {
    const all = async () => new Set(await Promise.all(masters.map((one) => one.stateHash()))).size === 1;
    for (let i = 0; i < 2000 && !(await all()); i++) await env.clock.sleep(10);
    expect(await all()).toBe(true);
  };
  return { env, log, stores, make, joined, same };
}

/** Writes of both, some of them deleted, and a store that was damaged since. */
async function damaged(more: Partial<MultiMasterConfig> = {}) {
  const { joined, ...rest } = await group();
  const disk = new Disk();
  const [a, b] = [await joined('a', new Disk(), more), await joined('b', disk, more)];
  for (let i = 0; i < 20; i++) await [a, b][i % 2]?.write(`e${i % 7}`, { i });
  await a.delete('e1');
  await rest.same(a, b);
  const spoil = (): void => {
    disk.spaces.get('entities')?.delete('e2');
    disk.set('entities', 'e3', disk.get('entities', 'e4'));
  };
  const store = rest.stores.get('b') as ReturnType<Disk['open']>;
  return { ...rest, joined, disk, store, a, b, spoil };
}

it('comes back with what the others have, and its own writes; it goes on under its name', async () => {
  const { same, a, b, spoil } = await damaged();
  const own = Array.from({ length: 10 }, (_, i) => b.write(`own${i}`, { i }));
  await Promise.all(own);
  spoil();
  const percents: number[] = [];
  const rebuilding = b.rebuild();
  await expect(b.write('x', {})).rejects.toMatchObject({ code: 'MASTER_NOT_JOINED' });
  await expect(b.takeSnapshot()).rejects.toMatchObject({ code: 'MASTER_NOT_JOINED' });
  expect(await b.applyRemoteEvent({})).toMatchObject({ success: false });
  let over = false;
  const watching = (async () => {
    for (; !over; await new Promise(setImmediate)) {
      const { phase, percent } = b.getRecoveryProgress();
      if (phase === 'log') percents.push(percent);
      await b.stateHash();
    }
  })();
  await rebuilding;
  over = true;
  await watching;
  expect(percents.length).toBeGreaterThan(0);
  expect(b.getRecoveryProgress().phase).toBe('none');
  await same(a, b);
  expect((await b.read('own9'))?.data).toEqual({ i: 9 });
  expect(await b.read('e1')).toBeNull();
  await b.write('after', { by: 'b' });
  await same(a, b);
  expect((await a.read('after'))?.data).toEqual({ by: 'b' });
});

it('starts from a snapshot where the log does not reach back, and changes nothing without one', async () => {
  let lost = false;
  class Losable extends MemorySnapshots {
    override async latest(namespace: string) {
      return lost ? undefined : super.latest(namespace);
    }
  }
  const snapshots = new Losable();
  const { same, a, b, spoil } = await damaged({ snapshots });
  await a.takeSnapshot({ trim: true });
  await a.write('later', {});
  await same(a, b);
  spoil();
  await b.rebuild();
  await same(a, b);
  lost = true;
  const before = await b.stateHash();
  await expect(b.rebuild()).rejects.toMatchObject({ code: 'MASTER_LOG_TRIMMED' });
  expect(await b.stateHash()).toBe(before);
  await b.write('still', {});
  await same(a, b);
});

it('keeps what is in no log, unless it is told to throw it away', async () => {
  const { log, same, a, b } = await damaged();
  log.fault = ({ operation, node }) => (operation === 'append' && node === 'b' ? { outcome: 'fail' } : undefined);
  await b.write('mine', { only: 'here' });
  await expect(b.rebuild()).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' });
  expect((await b.read('mine'))?.data).toEqual({ only: 'here' });
  await b.write('mine too', {});
  log.fault = undefined;
  await same(a, b);
  expect((await a.read('mine'))?.data).toEqual({ only: 'here' });
});

it('mends a master that has failed, and tells why it had', async () => {
  const { a, b, same, env, make, disk } = await damaged();
  await b.close();
  await a.removeMaster('b');
  const again = make('b', disk);
  expect(again.failure).toBeUndefined();
  await again.subscribe().catch(() => {});
  for (let i = 0; i < 2000 && again.failure === undefined; i++) await env.clock.sleep(10);
  expect(again.failure).toMatchObject({ code: 'MASTER_REMOVED' });
  await again.rebuild();
  expect(again.failure).toBeUndefined();
  await again.write('back', {});
  await same(a, again);
});

it.each([1, 2, 3, 4, 5, 6])('a crash at commit %i of it leaves nothing that is taken for a state', async (dies) => {
  const { a, b, disk, store, env, joined, same } = await damaged();
  disk.set('entities', 'ghost', disk.get('entities', 'e4'));
  let commits = 0;
  disk.tamper = (changes) => {
    const isAfter = commits > 0 || changes.some(({ key }) => key === 'emptying');
    if (isAfter && ++commits === dies) {
      store.die();
      throw new Error('killed');
    }
    return changes;
  };
  await Promise.race([b.rebuild().catch(() => {}), env.clock.sleep(5000)]);
  expect(commits).toBe(dies);
  await expect(b.write('x', {})).rejects.toThrow();
  await b.close().catch(() => {});
  disk.tamper = undefined;
  const again = await joined('b', disk);
  // The first one is all or nothing.
  if (dies === 1) await again.rebuild();
  await same(a, again);
  await again.write('after', {});
  await same(a, again);
});

it('closed meanwhile it leaves no loose ends; a plain one has nothing to be made anew from', async () => {
  const { a, b, disk, joined, same } = await damaged();
  const rebuilding = b.rebuild();
  await b.close();
  await expect(rebuilding).rejects.toThrow();
  await same(a, await joined('b', disk));
  const plain = new MultiMasterManager({
    masterId: 'p',
    pipeline: { send: async () => {} },
    stateManager: { get: () => null, set: () => {}, delete: () => {}, list: () => [] },
  });
  expect([plain.canRebuild, b.canRebuild, plain.failure]).toEqual([false, true, undefined]);
  await expect(plain.rebuild()).rejects.toMatchObject({ code: 'MASTER_NOT_DURABLE' });
});
