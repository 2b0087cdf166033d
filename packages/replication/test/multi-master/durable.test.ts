/** A master on an event log and an atomic store. The log is in memory, the time is real. */
import { systemClock, systemEnv } from '@canopy/core';
import { expect, it } from 'vitest';
import { MemoryLog, MultiMasterManager } from '../../src/index.ts';
import { Disk } from './disk.ts';
import { ended, joined, make, memorySnapshots, same, until } from './group.ts';

it('writes at once, sends in order, and all come to the same state', async () => {
  const log = new MemoryLog('group');
  const [a, b, c] = [await joined('a', log), await joined('b', log), await joined('c', log)];
  for (let i = 0; i < 50; i++) await [a, b, c][i % 3]?.write(`e${i % 7}`, { i });
  await b?.delete('e1');
  await same(a, b, c);
  expect(a.getStatus()).toMatchObject({ durable: true, unsent: 0, waiting: 0 });
  expect((await c.read('e2'))?.$id).toBe('e2');
});

it('joins before its first write, and refuses another store than its own', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const master = make('a', log, disk);
  log.fault = () => ({ outcome: 'fail' });
  await expect(master.write('x', {})).rejects.toMatchObject({ code: 'EVENT_LOG_UNAVAILABLE' });
  expect(master.getVectorClock().get('a')).toBe(0);
  log.fault = undefined;
  const results = await Promise.all([master.write('x', { v: 1 }), master.write('x', { v: 2 }), master.delete('y')]);
  expect(results.map(({ queued }) => queued)).toEqual([false, false, false]);
  expect([master.getVectorClock().get('a'), (await master.read('x'))?.data]).toEqual([3, { v: 2 }]);
  await master.close();
  expect(() => make('b', log, disk)).toThrow(/belongs to master a/);
  expect(() => make('a', log, { open: () => ({ get() {}, set() {}, delete() {} }) } as never)).toThrow(/AtomicStore/);
});

it('goes on where it was: writes while the log is away survive a restart, and the counter never goes back', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  let a = await joined('a', log, disk);
  const b = await joined('b', log);
  log.fault = ({ node }) => (node === 'a' ? { outcome: 'fail' } : undefined);
  await a.write('x', { v: 1 });
  await until(async () => expect((await a.write('x', { v: 2 })).queued).toBe(true));
  const before = a.getVectorClock().get('a');
  await a.close();
  log.fault = undefined;
  a = make('a', log, disk);
  expect(a.getVectorClock().get('a')).toBe(before);
  expect(a.getStatus().unsent).toBe(before);
  await a.subscribe();
  await a.write('x', { v: 3 }, { ack: 'log' });
  expect(a.getStatus().unsent).toBe(0);
  await same(a, b);
});

it('bounds its outbox with an error, not with a loss', async () => {
  const log = new MemoryLog('group');
  const a = await joined('a', log, new Disk(), { outboxLimit: 3 });
  log.fault = () => ({ outcome: 'fail' });
  for (let i = 0; i < 3; i++) await a.write('x', { i });
  await expect(a.write('x', { i: 3 })).rejects.toMatchObject({ code: 'MASTER_OUTBOX_FULL' });
  expect((await a.read('x'))?.data).toEqual({ i: 2 });
});

it('recovers what it had sent when its disk is lost, its numbers included, and the former life stops', async () => {
  const log = new MemoryLog('group');
  const first = await joined('a', log);
  const b = await joined('b', log);
  await first.write('x', { v: 1 }, { ack: 'log' });
  await first.write('y', { v: 1 }, { ack: 'log' });
  const failed: string[] = [];
  first.on('failed', ({ error }) => failed.push((error as Error & { code: string }).code));
  const second = await joined('a', log);
  expect(second.getVectorClock().get('a')).toBe(2);
  await second.write('x', { v: 2 }, { ack: 'log' });
  await same(second, b);
  expect((await b.read('x'))?.data).toEqual({ v: 2 });
  await until(() => expect(failed).toEqual(['MASTER_REPLACED']));
  await expect(first.write('x', { v: 'zombie' })).rejects.toMatchObject({ code: 'MASTER_REPLACED' });
});

it('is not replaced by a life that was given up for it and announces itself late', async () => {
  const log = new MemoryLog('group');
  const b = await joined('b', log);
  const [lateDisk, disk] = [new Disk(), new Disk()];
  // Its announcement is on its way, and does not arrive.
  const late = log.connect('late');
  let arrives = (): void => {};
  const arrival = new Promise<void>((resolve) => {
    arrives = resolve;
  });
  const announced = Promise.withResolvers<void>();
  const slow = {
    name: late.name,
    info: late.info.bind(late),
    read: late.read.bind(late),
    trim: late.trim.bind(late),
    append: async (...args: Parameters<typeof late.append>) => {
      announced.resolve();
      await arrival;
      return late.append(...args);
    },
  } as typeof late;
  const first = make('a', log, lateDisk, { pipeline: slow });
  const joining = expect(first.subscribe()).rejects.toMatchObject({ code: 'MASTER_REPLACED' });
  await announced.promise;
  const second = await joined('a', log, disk);
  await second.write('x', { v: 1 }, { ack: 'log' });
  arrives();
  await joining;
  await second.write('x', { v: 2 }, { ack: 'log' });
  await same(second, b);
  expect((await b.read('x'))?.data).toEqual({ v: 2 });
  // Started again it knows of the other, and takes the name; the other has sent all and stops.
  await first.close();
  const failed: string[] = [];
  second.on('failed', ({ error }) => failed.push((error as Error & { code: string }).code));
  const third = await joined('a', log, lateDisk);
  await until(() => expect(failed).toEqual(['MASTER_REPLACED']));
  await third.write('x', { v: 3 }, { ack: 'log' });
  await same(third, b);
});

it('stays replaced when its store is used again', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const first = await joined('a', log, disk);
  const failed = new Promise((resolve) => first.on('failed', resolve));
  await joined('a', log);
  await failed;
  // It stores why it ended.
  await until(() => expect(disk.get<{ position: number }>('meta', 'reader')?.position).toBe(log.lastSequence));
  await first.close();
  const again = make('a', log, disk);
  await expect(again.write('x', { v: 'nobody would see it' })).rejects.toMatchObject({ code: 'MASTER_REPLACED' });
  await expect(again.subscribe()).rejects.toMatchObject({ code: 'MASTER_REPLACED' });
});

it('starts a late joiner from a snapshot when the front of the log is gone', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const a = await joined('a', log, new Disk(), { snapshots });
  for (let i = 0; i < 20; i++) await a.write(`e${i}`, { i }, { ack: 'log' });
  await until(() => expect(a.getStatus().duplicates).toBeGreaterThanOrEqual(20));
  await a.takeSnapshot({ trim: true });
  await a.write('after', {}, { ack: 'log' });
  expect(log.events.length).toBeLessThan(5);
  const b = await joined('b', log, new Disk(), { snapshots });
  await b.write('e3', { by: 'b' });
  await same(a, b);
  expect((await a.getConflicts()).length).toBe(0);
  const c = make('c', log);
  await expect(c.subscribe()).rejects.toMatchObject({ code: 'MASTER_LOG_TRIMMED' });
});

it('forgets deletes when all members have seen them, and not before', async () => {
  const log = new MemoryLog('group');
  const [diskA, diskB] = [new Disk(), new Disk()];
  const a = await joined('a', log, diskA, { reportInterval: 20 });
  const b = await joined('b', log, diskB, { reportInterval: 20 });
  await a.write('x', {}, { ack: 'log' });
  await same(a, b);
  await b.close();
  await a.delete('x', { ack: 'log' });
  await a.write('y', {}, { ack: 'log' });
  const reports = log.events.length;
  await until(() => expect(log.events.length).toBeGreaterThan(reports));
  expect(diskA.spaces.get('tombstones')?.size).toBe(1);
  const again = await joined('b', log, diskB, { reportInterval: 20 });
  await until(async () => {
    await again.write('tick', {});
    expect(diskA.spaces.get('tombstones')?.size).toBe(0);
  });
  expect(diskA.spaces.get('entities')?.has('x')).toBe(false);
});

it('lets a master leave and come back, and stops one that was removed', async () => {
  const log = new MemoryLog('group');
  const [diskB, diskC] = [new Disk(), new Disk()];
  const a = await joined('a', log);
  const b = await joined('b', log, diskB);
  const c = await joined('c', log, diskC);
  const left: string[] = [];
  a.on('left', ({ masterId }) => left.push(masterId));
  await b.write('x', { by: 'b' });
  await b.leave();
  await c.close();
  await a.removeMaster('c');
  await until(() => expect(left).toEqual(['b', 'c']));
  const back = await joined('b', log, diskB);
  await back.write('x', { by: 'b again' });
  await same(a, back);
  const gone = make('c', log, diskC);
  const failed: string[] = [];
  gone.on('failed', ({ error }) => failed.push((error as Error & { code: string }).code));
  await gone.subscribe();
  await until(() => expect(failed).toEqual(['MASTER_REMOVED']));
});

it('finds and repairs what one of them has lost', async () => {
  const log = new MemoryLog('group');
  const disks = [new Disk(), new Disk()] as const;
  const a = await joined('a', log, disks[0]);
  const b = await joined('b', log, disks[1]);
  for (let i = 0; i < 30; i++) await a.write(`e${i}`, { i });
  await same(a, b);
  for (const id of ['e3', 'e17']) disks[1].spaces.get('entities')?.delete(id);
  disks[0].spaces.get('entities')?.delete('e9');
  expect(await a.stateHash()).not.toBe(await b.stateHash());
  await a.compareState();
  await same(a, b);
  expect((await b.read('e17'))?.data).toEqual({ i: 17 });
  expect((await a.read('e9'))?.data).toEqual({ i: 9 });
});

it('holds what comes from the future, with what depends on it, and lets everything else pass', async () => {
  const log = new MemoryLog('group');
  const a = await joined('a', log);
  const b = await joined('b', log);
  await log.connect('z').append({ type: 'join', masterId: 'z', incarnation: 'i' }, { topic: 'mm.z' });
  const event = (number: number, timestamp: number, entityId: string) => ({
    type: 'write',
    masterId: 'z',
    entityId,
    entityType: 'Entity',
    data: { number },
    vectorClock: { z: number },
    timestamp,
    incarnation: 'i',
  });
  await log.connect('z').append(event(1, Date.now() + 60_400, 'x') as never, { topic: 'mm.z' });
  await log.connect('z').append(event(2, Date.now(), 'y') as never, { topic: 'mm.z' });
  await b.write('other', {}, { ack: 'log' });
  await until(async () => expect(await a.read('other')).not.toBeNull());
  expect(a.getStatus()).toMatchObject({ rejected: 1 });
  await until(async () => expect((await a.read('y'))?.data).toEqual({ number: 2 }));
  expect(a.getStatus().waiting).toBe(0);
  await same(a, b);
});

it('keeps pending conflicts over a restart', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const config = { conflictStrategy: 'manual' } as const;
  let a = await joined('a', log, disk, config);
  const b = await joined('b', log, new Disk(), config);
  log.fault = ({ operation }) => (operation === 'append' ? { outcome: 'fail' } : undefined);
  await a.write('x', { by: 'a' });
  await b.write('x', { by: 'b' });
  log.fault = undefined;
  for (const master of [a, b]) await until(async () => expect((await master.getPendingConflicts()).length).toBe(1));
  await a.close();
  a = await joined('a', log, disk, config);
  expect(await a.getPendingConflicts()).toMatchObject([
    { entityId: 'x', versions: [{ masterId: 'a' }, { masterId: 'b' }] },
  ]);
  await b.resolveConflict('x', { by: 'us' });
  await until(async () => expect(await a.getPendingConflicts()).toEqual([]));
  await same(a, b);
});

it('does not bring back what was deleted and forgotten while it was out of the group', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const [diskA, diskB, diskC] = [new Disk(), new Disk(), new Disk()];
  const config = { snapshots, reportInterval: 20 };
  const a = await joined('a', log, diskA, config);
  const b = await joined('b', log, diskB, config);
  const c = await joined('c', log, diskC, config);
  await a.write('x', {}, { ack: 'log' });
  await a.write('y', {}, { ack: 'log' });
  await same(a, b, c);
  await b.leave();
  await c.close();
  await a.removeMaster('c');
  await a.delete('x', { ack: 'log' });
  await until(() => expect(diskA.spaces.get('entities')?.has('x')).toBe(false));
  await a.takeSnapshot({ trim: true });
  await a.write('z', {}, { ack: 'log' });
  const back = await joined('b', log, diskB, config);
  await same(a, back);
  expect(await back.read('x')).toBeNull();
  expect(await back.read('y')).not.toBeNull();
  const gone = make('c', log, diskC, config);
  const failed: string[] = [];
  gone.on('failed', ({ error }) => failed.push((error as Error & { code: string }).code));
  await gone.subscribe();
  await until(() => expect(failed).toEqual(['MASTER_REMOVED']));
});

it('does not keep what it held for its time, when that comes again as it is due', async () => {
  const log = new MemoryLog('group');
  let offsetMs = 0;
  const clock = Object.assign(Object.create(systemClock) as typeof systemClock, {
    wall: () => systemClock.wall() + offsetMs,
  });
  const disk = new Disk();
  const config = { masterId: 'a', pipeline: log.connect('a'), stateManager: disk.open() };
  const a = ended(new MultiMasterManager(config, systemEnv({ clock })));
  await a.subscribe();
  const z = log.connect('z');
  await z.append({ type: 'join', masterId: 'z', incarnation: 'i' }, { topic: 'mm.z' });
  const event = eventAhead(150_000);
  await z.append(event, { topic: 'mm.z' });
  await until(() => expect(a.getStatus().waiting).toBe(1));
  // The wall clock is set, and the event is sent again because its answer was lost.
  offsetMs = 120_000;
  await z.append(event, { topic: 'mm.z' });
  await until(async () => expect(await a.read('x')).not.toBeNull());
  expect(a.getStatus().waiting).toBe(0);
  await until(() => expect(disk.spaces.get('waiting')?.size).toBe(0));
});

it('has nothing to decide where masters deleted without knowing of each other', async () => {
  const log = new MemoryLog('group');
  const config = { conflictStrategy: 'manual' } as const;
  const disks = [new Disk(), new Disk(), new Disk()];
  const names = ['a', 'b', 'c'];
  const masters = await Promise.all(names.map((name, i) => joined(name, log, disks[i], config)));
  const [a, b, c] = masters as [MultiMasterManager, MultiMasterManager, MultiMasterManager];
  await a.write('x', {}, { ack: 'log' });
  await a.write('y', {}, { ack: 'log' });
  await same(a, b, c);
  log.fault = ({ operation }) => (operation === 'append' ? { outcome: 'fail' } : undefined);
  await a.delete('x');
  await b.delete('x');
  await a.write('y', { by: 'a' });
  await b.delete('y');
  log.fault = undefined;
  for (const master of masters)
    await until(async () => expect(await master.getPendingConflicts()).toMatchObject([{ entityId: 'y' }]));
  // One who has seen all versions deletes: it is decided, on all of them.
  await c.delete('y', { ack: 'log' });
  await same(a, b, c);
  for (const master of masters) expect(await master.getPendingConflicts()).toEqual([]);
  for (const disk of disks) await until(() => expect(disk.spaces.get('pending')?.size ?? 0).toBe(0));
});

it('knows from a snapshot which conflicts wait for a decision', async () => {
  const log = new MemoryLog('group');
  const config = { conflictStrategy: 'manual', snapshots: memorySnapshots() } as const;
  const a = await joined('a', log, new Disk(), config);
  const b = await joined('b', log, new Disk(), config);
  log.fault = ({ operation }) => (operation === 'append' ? { outcome: 'fail' } : undefined);
  await a.write('x', { by: 'a' });
  await b.write('x', { by: 'b' });
  log.fault = undefined;
  for (const master of [a, b]) await until(async () => expect(await master.getPendingConflicts()).toHaveLength(1));
  await same(a, b);
  await a.takeSnapshot({ trim: true });
  await a.write('y', {}, { ack: 'log' });
  const disk = new Disk();
  const c = await joined('c', log, disk, config);
  await same(a, b, c);
  expect(await c.getPendingConflicts()).toMatchObject([{ entityId: 'x' }]);
  await c.resolveConflict('x', { by: 'us' });
  await same(a, b, c);
  for (const master of [a, b, c]) expect(await master.getPendingConflicts()).toEqual([]);
});

it('lets what it held take effect in time, however much else comes from the log', async () => {
  const log = new MemoryLog('group');
  const a = await joined('a', log);
  const z = log.connect('z');
  await z.append({ type: 'join', masterId: 'z', incarnation: 'i' }, { topic: 'mm.z' });
  const event = eventAhead(60_500);
  await z.append(event, { topic: 'mm.z' });
  const report = { type: 'report', masterId: 'z', incarnation: 'i', vectorClock: { z: 1 }, timestamp: 0 };
  await until(async () => {
    await z.append(report, { topic: 'mm.z' });
    expect(await a.read('x')).not.toBeNull();
  });
});

it('refuses a document that is no record', async () => {
  const a = await joined('a', new MemoryLog('group'));
  for (const wrong of ['x', [1], 5, null])
    await expect(a.writeCRDTDocument('d', wrong as never)).rejects.toMatchObject({ code: 'REPLICATED_VALUE_INVALID' });
  expect(a.getVectorClock().get('a')).toBe(0);
});

/** What another program might put into the log in a master's name. */
it('gives up waiting for the log after its time, and nothing is taken back', async () => {
  const log = new MemoryLog('group');
  const [a, b] = [await joined('a', log), await joined('b', log)];
  log.fault = ({ node }) => (node === 'a' ? { outcome: 'fail' } : undefined);
  await expect(a.write('x', { v: 1 }, { ack: 'log', timeoutMs: 20 })).rejects.toMatchObject({
    code: 'DEADLINE_EXCEEDED',
    message: expect.stringContaining('which is stored here and will be sent'),
  });
  expect((await a.read('x'))?.data).toEqual({ v: 1 });
  log.fault = undefined;
  await same(a, b);
  expect((await b.read('x'))?.data).toEqual({ v: 1 });
  for (const wrong of [{ ack: 'quorum' }, { timeoutMs: 0 }, { timeoutMs: 'x' }])
    for (const call of [() => a.write('y', {}, wrong as never), () => a.delete('x', wrong as never)])
      await expect(call()).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  expect(await a.read('x')).not.toBeNull();
});

/** The first event of master z, `aheadMs` in the future. */
function eventAhead(aheadMs: number) {
  return {
    type: 'write',
    masterId: 'z',
    entityId: 'x',
    entityType: 'Entity',
    data: {},
    vectorClock: { z: 1 },
    timestamp: Date.now() + aheadMs,
    incarnation: 'i',
  };
}
