/** Events in the log that no master of ours wrote so: all masters count them alike, and nobody waits for ever. */
import { systemClock, systemEnv } from '@canopy/core';
import { expect, it } from 'vitest';
import { type Json, MemoryLog, MultiMasterManager } from '../../src/index.ts';
import { Disk } from './disk.ts';
import { ended, joined, same, until } from './group.ts';

const foreign = (number: number, more: Record<string, unknown> = {}): Json =>
  ({
    type: 'write',
    masterId: 'f',
    entityId: 'x',
    data: { number },
    vectorClock: { f: number },
    timestamp: 1_700_000_000_000 + number,
    ...more,
  }) as Json;

it('counts what has no effect: an event of another program whose data is no good does not stop its author', async () => {
  const log = new MemoryLog('group');
  const [a, b] = [await joined('a', log), await joined('b', log)];
  const problems: Record<string, string[]> = { a: [], b: [] };
  for (const [name, master] of Object.entries({ a, b }))
    master.on('invalid', ({ problem }) => problems[name]?.push(problem));
  const other = log.connect('other');
  const put = (event: Json): Promise<unknown> => other.append(event, { topic: 'mm.f' });
  await put(foreign(1));
  await put(foreign(2, { data: 'no record' }));
  // One that waits for its turn, and what comes under a number that is taken.
  await put(foreign(4, { entityId: 'y'.repeat(2000) }));
  await put(foreign(4));
  await put({ type: 'events', masterId: 'f', events: [foreign(3, { vectorClock: { f: 3, a: -1 } }), foreign(5)] });
  await put(foreign(6, { timestamp: 'soon' }));
  // Nobody can tell whose these are, or which.
  await put(foreign(7, { vectorClock: { f: 0 } }));
  await put(foreign(7, { masterId: 7 }));
  await put(foreign(7, { type: 'else' }));
  await put(foreign(7));
  await until(() => expect(b.getVectorClock().get('f')).toBe(7));
  await same(a, b);
  expect((await a.read('x'))?.data).toEqual({ number: 7 });
  expect(a.getStatus()).toMatchObject({ waiting: 0 });
  expect(problems.a).toHaveLength(7);
  expect(problems.b).toEqual(problems.a);
  expect(problems.a?.slice(0, 2).join()).toMatch(/data is no record.*longer than 1024 bytes/);
  // Handed over by a program it is refused.
  expect(await a.applyRemoteEvent(foreign(8, { data: 1 }) as never)).toMatchObject({ success: false });
  expect(a.getVectorClock().get('f')).toBe(7);
});

it('lets the first event of a number have it, also where it is held and the second is not', async () => {
  const log = new MemoryLog('group');
  const [wallOfA, wallOfB] = [1_700_000_200_000, 1_700_000_000_000];
  const start = async (masterId: string, wall: () => number): Promise<MultiMasterManager> => {
    const config = { masterId, pipeline: log.connect(masterId), stateManager: new Disk().open() };
    const master = ended(new MultiMasterManager(config, systemEnv({ clock: { ...systemClock, wall } })));
    await master.subscribe();
    return master;
  };
  let late = 0;
  const [a, b] = [await start('a', () => wallOfA), await start('b', () => wallOfB + late)];
  const other = log.connect('other');
  await other.append(foreign(1, { timestamp: wallOfA, data: { v: 'first' } }), { topic: 'mm.f' });
  await other.append(foreign(1, { timestamp: wallOfB, data: { v: 'second' } }), { topic: 'mm.f' });
  await other.append(foreign(1, { masterId: 'g', entityId: 'z', vectorClock: { g: 1 } }), { topic: 'mm.g' });
  // Both have read it all.
  await until(() => expect([a.getVectorClock().get('g'), b.getVectorClock().get('g')]).toEqual([1, 1]));
  expect([a.getVectorClock().get('f'), b.getStatus().waiting]).toEqual([1, 1]);
  expect(await b.read('x')).toBeNull();
  late = 200_000;
  await b.syncWithRemote();
  await same(a, b);
  expect((await b.read('x'))?.data).toEqual({ v: 'first' });
});
