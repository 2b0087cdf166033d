/** What is said of an outbox without looking into the store is what the store would have said. */
import { expect, test } from 'vitest';
import { MemoryStore } from '../../src/index.ts';
import { DurableState } from '../../src/multi-master/durable-state.ts';
import { type MasterEvent, readClock } from '../../src/multi-master/event.ts';
import { Outbox } from '../../src/multi-master/outbox.ts';
import { codeOf } from '../code-of.ts';

function event(number: number, life = 'x'): MasterEvent {
  const of = { type: 'write', masterId: 'a', entityId: 'e', entityType: 'Entity', data: {} } as const;
  return { ...of, vectorClock: { a: number }, timestamp: number, hlc: `${number}-${life}` };
}

test('an event is compared as a whole while it is in the outbox, sent or not, and with none after', () => {
  const state = new DurableState(new MemoryStore());
  const outbox = new Outbox(state);
  const known = (life: string, ...numbers: number[]): string[] =>
    numbers.map((number) => outbox.compare(number, event(number, life)));
  for (const number of [1, 2, 3, 4, 5]) state.flush([outbox.added(number, event(number))]);
  outbox.sending(outbox.after(0, 3));
  expect(outbox.after(1, 3).map(({ number }) => number)).toEqual([2, 3, 4]);
  expect(known('x', 0, 1, 3, 4, 6)).toEqual(['none', 'same', 'same', 'same', 'none']);
  expect(known('y', 0, 1, 3, 4, 6)).toEqual(['none', 'other', 'other', 'other', 'none']);
  // Sent (3) or not (4): another write at the same hybrid time, and the same one with its properties in another order.
  for (const number of [3, 4]) {
    expect(outbox.compare(number, { ...event(number), entityId: 'f' })).toBe('other');
    expect(outbox.compare(number, { ...event(number), data: { a: 1 } })).toBe('other');
    expect(outbox.compare(number, Object.fromEntries(Object.entries(event(number)).reverse()))).toBe('same');
  }
  // One in the middle did not come back.
  outbox.takeOff(1);
  outbox.takeOff(3);
  expect(known('x', 1, 2, 3, 5)).toEqual(['none', 'same', 'none', 'same']);
  state.flush([]);
  expect(outbox.after(0, 3).map(({ number }) => number)).toEqual([2, 4, 5]);
  for (const number of [2, 4, 5]) outbox.takeOff(number);
  state.flush([]);
  expect(known('x', 2, 4, 5, 6)).toEqual(['none', 'none', 'none', 'none']);
  expect(outbox.after(0, 3)).toEqual([]);
  // A later life goes on where the log stands.
  state.flush([outbox.added(4, event(4, 'y'))]);
  expect(known('y', 3, 4, 5)).toEqual(['none', 'same', 'none']);
  expect(new Outbox(state).compare(4, event(4, 'y'))).toBe('same');
});

test('a clock from the wire is in the order of its names, has no prototype to reach, and is refused when something in it is no counter', () => {
  const clock = readClock(JSON.parse('{"c": 3, "__proto__": 1, "a": 2}'));
  expect(JSON.stringify(clock)).toBe('{"__proto__":1,"a":2,"c":3}');
  expect([clock.constructor, clock.toString, clock.hasOwnProperty]).toEqual([undefined, undefined, undefined]);
  for (const wrong of [{ a: -1 }, { a: 1.5 }, { a: '1' }, { a: null }, { '': 1 }, { ['n'.repeat(300)]: 1 }, [1], null])
    expect(codeOf(() => readClock(wrong))).toBe('MASTER_EVENT_INVALID');
  expect(readClock({ ['n'.repeat(200)]: 1 })).toEqual({ ['n'.repeat(200)]: 1 });
});
