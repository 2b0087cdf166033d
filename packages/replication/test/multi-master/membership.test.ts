/** Lives of masters, and what the log and snapshots say of them. The log is in memory, the time is real. */
import { expect, it } from 'vitest';
import { type EventLog, MemoryLog } from '../../src/index.ts';
import { Members } from '../../src/multi-master/members.ts';
import { Disk } from './disk.ts';
import { joined, make, memorySnapshots, same, until } from './group.ts';

/** A log that takes an announcement when it is told to, and answers when it is told to. */
function slowly(log: MemoryLog) {
  const [announced, arrives, arrived, answers] = [1, 2, 3, 4].map(() => Promise.withResolvers<void>()) as [
    PromiseWithResolvers<void>,
    PromiseWithResolvers<void>,
    PromiseWithResolvers<void>,
    PromiseWithResolvers<void>,
  ];
  const inner = log.connect('slow');
  const pipeline = {
    name: inner.name,
    info: inner.info.bind(inner),
    read: inner.read.bind(inner),
    trim: inner.trim.bind(inner),
    append: async (...args: Parameters<typeof inner.append>) => {
      announced.resolve();
      await arrives.promise;
      const result = await inner.append(...args);
      arrived.resolve();
      await answers.promise;
      return result;
    },
  } as EventLog;
  return { pipeline, announced, arrives, arrived, answers };
}

it('does not take out a master that has come back, when the announcement that it leaves comes late', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const a = await joined('a', log);
  const b = await joined('b', log, disk);
  await b.write('x', { by: 'b' }, { ack: 'log' });
  // Its announcement is lost, and what was sent arrives at last.
  const { incarnation } = disk.get<{ incarnation: string }>('meta', 'self') ?? {};
  await b.leave();
  const leave = log.events.at(-1)?.event;
  expect(leave).toEqual({ type: 'leave', masterId: 'b', by: 'b', incarnation });
  const back = await joined('b', log, disk);
  const failed: unknown[] = [];
  const left: string[] = [];
  back.on('failed', (event) => failed.push(event));
  a.on('left', ({ masterId }) => left.push(masterId));
  await log.connect('network').append(leave as never, { topic: 'mm.b' });
  await back.write('x', { by: 'b again' }, { ack: 'log' });
  await same(a, back);
  expect((await a.read('x'))?.data).toEqual({ by: 'b again' });
  expect([failed, left]).toEqual([[], []]);
  // The life that it has now can be taken out.
  await a.removeMaster('b');
  await until(() => expect(left).toEqual(['b']));
  await until(() => expect(failed).toMatchObject([{ error: { code: 'MASTER_REMOVED' } }]));
});

it('takes an announcement that names no life for whichever there is', () => {
  const members = new Members();
  const at = { sequence: 1, storedAt: 0 };
  members.apply({ type: 'join', masterId: 'b', incarnation: 'i' }, at);
  members.apply({ type: 'leave', masterId: 'b', by: 'a', incarnation: 'former' }, { ...at, sequence: 2 });
  expect(members.get('b')?.active).toBe(true);
  members.apply({ type: 'leave', masterId: 'b', by: 'a' }, { ...at, sequence: 3 });
  expect(members.get('b')?.active).toBe(false);
});

it('ends leaving with the reason why it has ended itself', async () => {
  const log = new MemoryLog('group');
  const first = await joined('a', log);
  log.fault = ({ node, operation }) => (node === 'a' && operation === 'append' ? { outcome: 'fail' } : undefined);
  await first.write('x', {});
  const failed = new Promise((resolve) => first.on('failed', resolve));
  log.fault = undefined;
  await joined('a', log);
  await failed;
  await expect(first.leave()).rejects.toMatchObject({ code: 'MASTER_REPLACED' });
});

it('joins, though the snapshot that it begins with lies behind its own announcement', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const a = await joined('a', log, new Disk(), { snapshots });
  await a.write('x', { by: 'a' }, { ack: 'log' });
  const disk = new Disk();
  const b = make('b', log, disk, { snapshots });
  // It announces itself, and can't read for a while.
  log.fault = ({ node, operation }) => (node === 'b' && operation === 'deliver' ? { outcome: 'fail' } : undefined);
  const joining = b.subscribe();
  await until(() => expect(a.clockReport().members.map(({ masterId }) => masterId)).toEqual(['a', 'b']));
  await a.write('y', { by: 'a' }, { ack: 'log' });
  await a.takeSnapshot({ trim: true });
  await a.write('z', { by: 'a' }, { ack: 'log' });
  log.fault = undefined;
  await joining;
  await b.write('x', { by: 'b' }, { ack: 'log' });
  await same(a, b);
  expect((await a.read('x'))?.data).toEqual({ by: 'b' });
  await b.close();
  const again = await joined('b', log, disk, { snapshots });
  await again.write('x', { by: 'b again' }, { ack: 'log' });
  await same(a, again);
});

it('learns from a snapshot that its announcement came too late, and joins under another identity', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const a = await joined('a', log, new Disk(), { snapshots });
  const disk = new Disk();
  const { pipeline, announced, arrives, arrived, answers } = slowly(log);
  const first = make('b', log, disk, { snapshots, pipeline });
  const joining = expect(first.subscribe()).rejects.toMatchObject({ code: 'MASTER_REPLACED' });
  await announced.promise;
  // Meanwhile another store takes the name. The first one's announcement is in the log behind it, and both are trimmed away.
  const other = make('b', log, new Disk(), { snapshots, pipeline: log.connect('other') });
  await other.subscribe();
  await other.write('x', { by: 'other' }, { ack: 'log' });
  arrives.resolve();
  await arrived.promise;
  await a.write('y', {}, { ack: 'log' });
  await a.takeSnapshot({ trim: true });
  await a.write('z', {}, { ack: 'log' });
  answers.resolve();
  await joining;
  await first.close();
  await other.write('x', { by: 'other' }, { ack: 'log' });
  await other.close();
  const third = await joined('b', log, disk, { snapshots });
  await third.write('x', { by: 'third' }, { ack: 'log' });
  await same(a, third);
});

it('does not keep what it held, when a snapshot has it', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const a = await joined('a', log, new Disk(), { snapshots, maxDrift: '10m' });
  const disk = new Disk();
  let b = await joined('b', log, disk, { snapshots });
  await log.connect('z').append({ type: 'join', masterId: 'z', incarnation: 'i' }, { topic: 'mm.z' });
  const event = {
    type: 'write',
    masterId: 'z',
    entityId: 'x',
    entityType: 'Entity',
    data: {},
    vectorClock: { z: 1 },
    timestamp: Date.now() + 120_000,
    incarnation: 'i',
  };
  await log.connect('z').append(event, { topic: 'mm.z' });
  await until(() => expect(b.getStatus().waiting).toBe(1));
  await b.close();
  await until(async () => expect(await a.read('x')).not.toBeNull());
  for (let i = 0; i < 3; i++) await a.write('y', { i }, { ack: 'log' });
  await a.takeSnapshot({ trim: true });
  await a.write('z', {}, { ack: 'log' });
  b = await joined('b', log, disk, { snapshots });
  // What has been written behind it since is held for its time; it itself is there.
  await until(() => expect(disk.get<{ position: number }>('meta', 'reader')?.position).toBe(log.lastSequence));
  expect(await b.read('x')).not.toBeNull();
  expect([...(disk.spaces.get('waiting')?.keys() ?? [])].filter((key) => key.startsWith('z '))).toEqual([]);
});

it('knows that its events are in the log, though a snapshot passed them, and can leave', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const a = await joined('a', log, new Disk(), { snapshots });
  const disk = new Disk();
  const b = await joined('b', log, disk, { snapshots });
  await b.write('x', { i: 0 }, { ack: 'log' });
  // It can send, and not read.
  log.fault = ({ node, operation }) => (node === 'b' && operation === 'deliver' ? { outcome: 'fail' } : undefined);
  const writing = [1, 2].map((i) => b.write('x', { i }, { ack: 'log' }));
  await until(async () => expect((await a.read('x'))?.data).toEqual({ i: 2 }));
  for (let i = 0; i < 3; i++) await a.write('y', { i }, { ack: 'log' });
  await a.takeSnapshot({ trim: true });
  await a.write('z', {}, { ack: 'log' });
  log.fault = undefined;
  await Promise.all(writing);
  await same(a, b);
  await b.leave();
});

it('leaves no snapshot with what is not in the log: it may never get there', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const a = await joined('a', log, new Disk(), { snapshots });
  const b = await joined('b', log);
  await b.write('x', { by: 'b' }, { ack: 'log' });
  log.fault = ({ node, operation }) => (node === 'a' && operation === 'append' ? { outcome: 'fail' } : undefined);
  await a.write('y', { by: 'a' });
  const taking = expect(a.takeSnapshot()).rejects.toThrow();
  await until(() => expect(a.getStatus().duplicates + a.getStatus().eventsApplied).toBeGreaterThan(0));
  await new Promise((resolve) => setImmediate(resolve));
  await a.close();
  await taking;
  expect(await snapshots.latest('group')).toBeUndefined();
});
