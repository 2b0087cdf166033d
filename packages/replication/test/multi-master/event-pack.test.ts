/** What gathers while the log is away goes into it together; a log that takes no packs gets the events one by one. */
import { afterEach, expect, it, vi } from 'vitest';
import { type EventLog, type Json, type MasterEvent, MemoryLog, MultiMasterManager } from '../../src/index.ts';
import { packed, packsOf, unpacked } from '../../src/multi-master/event-pack.ts';
import { Disk } from './disk.ts';

const open: MultiMasterManager[] = [];
afterEach(async () => {
  for (const master of open.splice(0)) await master.close();
});

const until = (check: () => Promise<void> | void) => vi.waitFor(check, { timeout: 10_000, interval: 5 });

async function joined(masterId: string, pipeline: EventLog): Promise<MultiMasterManager> {
  const master = new MultiMasterManager({ masterId, pipeline, stateManager: new Disk().open() });
  open.push(master);
  await master.subscribe();
  return master;
}

const typesIn = (log: MemoryLog): string[] => log.events.map(({ event }) => (event as { type: string }).type);

function eventOf(number: number, note = ''): { number: number; event: MasterEvent } {
  const vectorClock = { a: number };
  const rest = { entityId: `e${number}`, entityType: 'Entity', data: { note }, vectorClock, timestamp: number };
  return { number, event: { type: 'write', masterId: 'a', ...rest } };
}

it('packs up to 256 events and a quarter of a million characters, in order; one alone stays what it is', () => {
  const many = Array.from({ length: 600 }, (_, i) => eventOf(i + 1));
  const packs = packsOf(many);
  expect(packs.map((pack) => pack.length)).toEqual([256, 256, 88]);
  expect(packs.flatMap((pack) => unpacked(packed('a', pack)))).toEqual(many.map(({ event }) => event));
  const large = ['x', 'y', 'z'].map((letter, i) => eventOf(i + 1, letter.repeat(120_000)));
  expect(packsOf(large).map((pack) => pack.length)).toEqual([2, 1]);
  expect(packsOf(large, { single: true })).toHaveLength(3);
  expect(packed('a', [eventOf(1)])).toEqual(eventOf(1).event);
  expect(unpacked({ type: 'events', events: 'none' })).toHaveLength(1);
});

it('writes made without the log reach it in a few events, and others in full', async () => {
  const log = new MemoryLog('log');
  const [a, b] = [await joined('a', log.connect('a')), await joined('b', log.connect('b'))];
  log.fault = ({ node }) => (node === 'a' ? { outcome: 'fail' } : undefined);
  for (let i = 0; i < 500; i++) await a.write(`e${i % 100}`, { i });
  const before = log.lastSequence;
  log.fault = undefined;
  await until(async () => expect(await b.stateHash()).toBe(await a.stateHash()));
  expect(b.getVectorClock().get('a')).toBe(500);
  expect(b.getMetrics().eventsApplied).toBe(500);
  await until(() => expect(a.getStatus().unsent).toBe(0));
  expect(log.lastSequence - before).toBeLessThan(10);
});

it('what a log refuses as too large together goes one by one', async () => {
  const log = new MemoryLog('log');
  const small = log.connect('a');
  const append: EventLog['append'] = (event: Json, options) => {
    const isPack = (event as { type: string }).type === 'events';
    return small.append(isPack ? { type: 'events', note: 'x'.repeat(2_000_000) } : event, options);
  };
  const limited: EventLog = Object.assign(Object.create(small), { append });
  for (const name of ['send', 'read', 'info', 'trim'] as const)
    Object.assign(limited, { [name]: (small[name] as (...args: unknown[]) => unknown).bind(small) });
  const [a, b] = [await joined('a', limited), await joined('b', log.connect('b'))];
  await Promise.all(Array.from({ length: 20 }, (_, i) => a.write(`e${i}`, { i })));
  await until(async () => expect(await b.stateHash()).toBe(await a.stateHash()));
  expect(typesIn(log)).not.toContain('events');
  expect(typesIn(log).filter((type) => type === 'write')).toHaveLength(20);
});

it('a write is answered before it is sent', async () => {
  const log = new MemoryLog('log');
  const a = await joined('a', log.connect('a'));
  const before = log.lastSequence;
  await a.write('e', { i: 1 });
  expect(log.lastSequence).toBe(before);
  await until(() => expect(log.lastSequence).toBe(before + 1));
});
