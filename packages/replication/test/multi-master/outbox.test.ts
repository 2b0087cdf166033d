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

test('an event has its time while it is in the outbox, sent or not, and none after', () => {
  const state = new DurableState(new MemoryStore());
  const outbox = new Outbox(state);
  const times = (...numbers: number[]): unknown[] => numbers.map((number) => outbox.timeOf(number));
  for (const number of [1, 2, 3, 4, 5]) state.flush([outbox.added(number, event(number))]);
  outbox.sending(outbox.after(0, 3));
  expect(outbox.after(1, 3).map(({ number }) => number)).toEqual([2, 3, 4]);
  expect(times(0, 1, 3, 4, 6)).toEqual([undefined, '1-x', '3-x', '4-x', undefined]);
  // One in the middle did not come back.
  outbox.takeOff(1);
  outbox.takeOff(3);
  expect(times(1, 2, 3, 5)).toEqual([undefined, '2-x', undefined, '5-x']);
  state.flush([]);
  expect(outbox.after(0, 3).map(({ number }) => number)).toEqual([2, 4, 5]);
  for (const number of [2, 4, 5]) outbox.takeOff(number);
  state.flush([]);
  expect(times(2, 4, 5, 6)).toEqual([undefined, undefined, undefined, undefined]);
  expect(outbox.after(0, 3)).toEqual([]);
  // A later life goes on where the log stands.
  state.flush([outbox.added(4, event(4, 'y'))]);
  expect(times(3, 4, 5)).toEqual([undefined, '4-y', undefined]);
  expect(new Outbox(state).timeOf(4)).toBe('4-y');
});

test('a clock from the wire is in the order of its names, has no prototype to reach, and is refused when something in it is no counter', () => {
  const clock = readClock(JSON.parse('{"c": 3, "__proto__": 1, "a": 2}'));
  expect(JSON.stringify(clock)).toBe('{"__proto__":1,"a":2,"c":3}');
  expect([clock.constructor, clock.toString, clock.hasOwnProperty]).toEqual([undefined, undefined, undefined]);
  for (const wrong of [{ a: -1 }, { a: 1.5 }, { a: '1' }, { a: null }, { '': 1 }, { ['n'.repeat(300)]: 1 }, [1], null])
    expect(codeOf(() => readClock(wrong))).toBe('MASTER_EVENT_INVALID');
  expect(readClock({ ['n'.repeat(200)]: 1 })).toEqual({ ['n'.repeat(200)]: 1 });
});
