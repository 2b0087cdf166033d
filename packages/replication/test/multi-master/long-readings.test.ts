/** Snapshots and comparisons of a master while it goes on. The log is in memory, the time is real. */
import { systemClock, systemEnv } from '@canopy/core';
import { expect, it } from 'vitest';
import { MemoryLog, MultiMasterManager, type SnapshotStore } from '../../src/index.ts';
import { Disk } from './disk.ts';
import { ended, joined, memorySnapshots, same, until } from './group.ts';

/** Time in which every look at the clock takes long. */
function slowEnv() {
  let spentMs = 0;
  const clock = Object.assign(Object.create(systemClock) as typeof systemClock, {
    monotonic: () => {
      spentMs += 20;
      return spentMs;
    },
  });
  return systemEnv({ clock });
}

function turns(): { count: number; stop(): void } {
  const turning = { count: 0, stop: () => clearImmediate(next) };
  const turn = (): void => {
    turning.count += 1;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  return turning;
}

it('takes a snapshot in slices, of one moment, with what is written meanwhile', async () => {
  const log = new MemoryLog('group');
  const inner = memorySnapshots();
  const seen: number[] = [];
  const turning = turns();
  const begins = Promise.withResolvers<void>();
  const snapshots: SnapshotStore = {
    ...inner,
    put: async (info, lines, options) => {
      // As one that opens a connection first.
      await begins.promise;
      async function* counted() {
        for await (const line of lines) {
          seen.push(turning.count);
          yield line;
        }
      }
      return inner.put(info, counted(), options);
    },
  };
  const config = { masterId: 'a', pipeline: log.connect('a'), stateManager: new Disk().open(), snapshots };
  const a = ended(new MultiMasterManager(config, slowEnv()));
  await a.subscribe();
  for (let i = 0; i < 2000; i++) await a.write(`e${i}`, { i });
  await a.write('last', {}, { ack: 'log' });
  const before = log.lastSequence;
  const taking = a.takeSnapshot({ trim: true });
  await a.write('e7', { late: true }, { ack: 'log' });
  begins.resolve();
  const info = await taking;
  turning.stop();
  expect(info.sequence).toBe(before);
  const [lines] = await Array.fromAsync(inner.read(info));
  expect(JSON.parse(lines?.[0] ?? '')).toMatchObject({ position: before });
  expect(seen.at(-1)).toBeGreaterThan(seen[0] as number);
  const b = await joined('b', log, new Disk(), { snapshots });
  await same(a, b);
  expect((await b.read('e7'))?.data).toEqual({ late: true });
});

it('compares from time to time by itself, one asking for all', async () => {
  const log = new MemoryLog('group');
  const disks = [new Disk(), new Disk(), new Disk()] as const;
  const config = { antiEntropyInterval: 300 };
  const a = await joined('a', log, disks[0], config);
  await a.write('x', {}, { ack: 'log' });
  const digests = () => log.events.filter(({ event }) => (event as { type: string }).type === 'digest').length;
  const b = await joined('b', log, disks[1], config);
  const c = await joined('c', log, disks[2], { antiEntropyInterval: 0 });
  await same(a, b, c);
  disks[1].spaces.get('entities')?.delete('x');
  expect(await b.read('x')).toBeNull();
  await until(async () => expect(await b.read('x')).not.toBeNull());
  await same(a, b, c);
  expect(digests()).toBeGreaterThan(0);
});

it('says nothing of a group that is written to while it is read', async () => {
  const log = new MemoryLog('group');
  const disk = new Disk();
  const config = { masterId: 'a', pipeline: log.connect('a'), stateManager: disk.open() };
  const a = ended(new MultiMasterManager(config, slowEnv()));
  await a.subscribe();
  for (let i = 0; i < 1500; i++) await a.write(`e${i}`, { i });
  await a.write('last', {}, { ack: 'log' });
  const comparing = a.compareState();
  // Its page is still to be read: keys are read in order.
  await a.write('e999', { late: true }, { ack: 'log' });
  await comparing;
  const digest = log.events
    .map(({ event }) => event as { type: string; groups: string[] })
    .find(({ type }) => type === 'digest');
  expect(digest?.groups.filter((hash) => hash === '')).toHaveLength(1);
});
