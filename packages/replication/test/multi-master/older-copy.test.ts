/** A store that is an older copy of itself: what was acknowledged is in the log, or the master stops and tells it. */
import { systemClock, systemEnv } from '@canopy/core';
import { expect, it } from 'vitest';
import { MemoryLog, MultiMasterManager } from '../../src/index.ts';
import { Disk } from './disk.ts';
import { ended, joined, make, memorySnapshots, same, until } from './group.ts';

const failedOf = (master: MultiMasterManager): string[] => {
  const failed: string[] = [];
  master.on('failed', ({ error }) => failed.push((error as Error & { code: string }).code));
  return failed;
};

it('stops, and tells what is in no log, when its store is an older copy of itself that gave its numbers again', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const first = await joined('a', log, disk);
  const b = await joined('b', log);
  await first.write('x', { v: 1 }, { ack: 'log' });
  const backup = disk.copy();
  for (let i = 0; i < 5; i++) await first.write(`new${i}`, { i }, { ack: 'log' });
  await first.close();
  const again = make('a', log, backup);
  const failed = failedOf(again);
  // At once, as a program does that does not wait, and may be cut off.
  const sent = expect(again.write('y', { v: 'kept' }, { ack: 'log' })).rejects.toMatchObject({
    code: 'MASTER_REPLACED',
  });
  await again.subscribe();
  await sent;
  await until(() => expect(failed).toEqual(['MASTER_REPLACED']));
  expect(again.getUnsent().map(({ entityId, data }) => [entityId, data])).toEqual([['y', { v: 'kept' }]]);
  await expect(again.write('z', {})).rejects.toThrow(/older copy of itself.*1 events/);
  const rescued = again.getUnsent();
  await again.close();
  // It is the same for whoever starts it again.
  const once = make('a', log, backup);
  const failedOnce = failedOf(once);
  await once.subscribe();
  await until(() => expect(failedOnce).toEqual(['MASTER_REPLACED']));
  const anew = await joined('a', log);
  for (const { entityId, data } of rescued) await anew.write(entityId, data, { ack: 'log' });
  await same(anew, b);
  expect([await b.read('y'), await b.read('new4')]).toMatchObject([{ data: { v: 'kept' } }, { data: { i: 4 } }]);
});

it('finds out an older copy also where the wall clock stands, and gives the same numbers the same hybrid times', async () => {
  const log = new MemoryLog('group');
  const env = systemEnv({ clock: { ...systemClock, wall: () => 1_700_000_000_000 } });
  const start = (stateManager: ReturnType<Disk['open']>): MultiMasterManager =>
    ended(new MultiMasterManager({ masterId: 'a', pipeline: log.connect('a'), stateManager }, env));
  const disk = new Disk();
  const first = start(disk.open());
  await first.write('x', { v: 1 }, { ack: 'log' });
  const backup = disk.copy();
  await first.write('y', { v: 'in the log' }, { ack: 'log' });
  await first.close();
  const again = start(backup.open());
  const failed = failedOf(again);
  const sent = expect(again.write('y', { v: 'kept' }, { ack: 'log' })).rejects.toMatchObject({
    code: 'MASTER_REPLACED',
  });
  await again.subscribe();
  await sent;
  expect(failed).toEqual(['MASTER_REPLACED']);
  const [unsent] = again.getUnsent();
  const inLog = log.events.map(({ event }) => event as unknown as typeof unsent).find((each) => each?.entityId === 'y');
  expect(unsent).toMatchObject({ hlc: inLog?.hlc, vectorClock: inLog?.vectorClock, data: { v: 'kept' } });
});

it('finds out an older copy also where a snapshot stands for what the log had', async () => {
  const log = new MemoryLog('group');
  const snapshots = memorySnapshots();
  const disk = new Disk();
  const first = await joined('a', log, disk, { snapshots });
  const b = await joined('b', log, new Disk(), { snapshots });
  await first.write('x', { v: 1 }, { ack: 'log' });
  // It is confirmed before it is off the disk.
  await until(() => expect(disk.spaces.get('outbox')?.size).toBe(0));
  const backup = disk.copy();
  for (let i = 0; i < 3; i++) await first.write(`new${i}`, { i }, { ack: 'log' });
  await first.close();
  await until(() => expect(b.getVectorClock().get('a')).toBe(4));
  await b.takeSnapshot({ trim: true });
  const again = make('a', log, backup, { snapshots });
  const failed = failedOf(again);
  // More than the snapshot has: as numbers go it could be behind.
  const written = Array.from({ length: 5 }, (_, i) => again.write(`mine${i}`, { i }));
  await Promise.all([again.subscribe(), ...written]);
  await until(() => expect(failed).toEqual(['MASTER_REPLACED']));
  expect(again.getUnsent()).toHaveLength(5);
});

it('goes on with an older copy of its store that has written nothing before it read the log', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const first = await joined('a', log, disk);
  const b = await joined('b', log);
  await first.write('x', { v: 1 }, { ack: 'log' });
  const backup = disk.copy();
  for (let i = 0; i < 5; i++) await first.write(`new${i}`, { i }, { ack: 'log' });
  await first.close();
  const again = await joined('a', log, backup);
  await until(() => expect(again.getVectorClock().get('a')).toBe(6));
  await again.write('y', { v: 1 }, { ack: 'log' });
  await same(again, b);
});
