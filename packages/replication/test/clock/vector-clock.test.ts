import { hasCode } from '@canopy/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ClockOrder, VectorClock, type VectorClockRecord } from '../../src/index.ts';

const record = fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__', '10', '9'), fc.nat(3));

/** The definition, word for word. */
function orderByDefinition(a: VectorClockRecord, b: VectorClockRecord): ClockOrder {
  const nodes = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const at = (clock: VectorClockRecord, node: string) => (Object.hasOwn(clock, node) ? (clock[node] as number) : 0);
  const before = nodes.every((node) => at(a, node) <= at(b, node));
  const after = nodes.every((node) => at(a, node) >= at(b, node));
  if (before && after) return 'equal';
  return before ? 'before' : after ? 'after' : 'concurrent';
}

describe('VectorClock', () => {
  it('orders as the guide shows', () => {
    const clockA = new VectorClock({ usa: 1, eu: 0 });
    const clockB = new VectorClock({ usa: 0, eu: 1 });
    const clockC = new VectorClock({ usa: 1, eu: 1 });
    expect(VectorClock.compare(clockA, clockB)).toBe('concurrent');
    expect(VectorClock.compare(clockA, clockC)).toBe('before');
    expect(VectorClock.compare(clockC, clockA)).toBe('after');
    expect(VectorClock.merge(clockA, clockB).toJSON()).toEqual({ usa: 1, eu: 1 });
  });

  it('compares by the definition, instances and records alike', () => {
    fc.assert(
      fc.property(record, record, (a, b) => {
        const expected = orderByDefinition(a, b);
        expect(VectorClock.compare(a, b)).toBe(expected);
        expect(VectorClock.compare(new VectorClock(a), b)).toBe(expected);
        expect(VectorClock.compare(new VectorClock(a), new VectorClock(b))).toBe(expected);
        expect(VectorClock.happensBefore(a, b)).toBe(expected === 'before');
      }),
    );
  });

  it('merges to the least clock that has seen both', () => {
    fc.assert(
      fc.property(record, record, (a, b) => {
        const merged = VectorClock.merge(a, b);
        expect(['equal', 'after']).toContain(VectorClock.compare(merged, a));
        expect(['equal', 'after']).toContain(VectorClock.compare(merged, b));
        for (const node of merged.getNodes())
          expect(merged.get(node)).toBe(Math.max(new VectorClock(a).get(node), new VectorClock(b).get(node)));
        expect(JSON.stringify(merged)).toBe(JSON.stringify(VectorClock.merge(b, a)));
      }),
    );
  });

  it('counts, copies and tells', () => {
    const clock = new VectorClock();
    expect([clock.isEmpty(), clock.size, clock.get('a')]).toEqual([true, 0, 0]);
    expect([clock.increment('a'), clock.increment('a')]).toEqual([1, 2]);
    const copy = clock.copy();
    copy.increment('a');
    copy.set('b', 0);
    expect([clock.get('a'), copy.get('a')]).toEqual([2, 3]);
    expect([copy.getNodes(), copy.size, new VectorClock({ a: 0 }).isEmpty()]).toEqual([['a', 'b'], 2, false]);
    clock.mergeWith({ c: 4 });
    expect(clock.toJSON()).toEqual({ a: 2, c: 4 });
    expect(VectorClock.compare({ a: 1 }, { a: 1, b: 0 })).toBe('equal');
  });

  it('keeps a node called __proto__ apart from prototypes, through JSON too', () => {
    const clock = VectorClock.fromJSON(JSON.parse('{"__proto__":3,"constructor":1}'));
    expect([clock.get('__proto__'), clock.get('constructor'), clock.get('toString')]).toEqual([3, 1, 0]);
    expect(JSON.stringify(clock)).toBe('{"__proto__":3,"constructor":1}');
    expect(({} as Record<string, unknown>)['3']).toBeUndefined();
  });

  it.each([
    [null],
    [[1]],
    ['a'],
    [7],
    [{ a: -1 }],
    [{ a: 1.5 }],
    [{ a: '1' }],
    [{ a: null }],
    [{ a: Number.NaN }],
    [{ a: 2 ** 53 }],
    [{ '': 1 }],
    [{ ['n'.repeat(257)]: 1 }],
  ])('refuses %j from the wire, and in comparisons', (json) => {
    const refused = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        return hasCode(error, 'VECTOR_CLOCK_INVALID');
      }
      return false;
    };
    expect(refused(() => VectorClock.fromJSON(json))).toBe(true);
    expect(refused(() => VectorClock.compare(json as never, {}))).toBe(true);
    expect(refused(() => VectorClock.merge({}, json as never))).toBe(true);
  });

  it('refuses to grow past what a double counts', () => {
    const clock = new VectorClock({ a: Number.MAX_SAFE_INTEGER });
    expect(() => clock.increment('a')).toThrow('the counter of "a"');
    expect(clock.get('a')).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('prunes a departed node once all who remain have seen all of it, and no order changes by that', () => {
    const behind = new VectorClock({ a: 4, b: 2 });
    const ahead = new VectorClock({ a: 5, b: 2, c: 1 });
    expect(VectorClock.isSettled('a', [behind, ahead])).toBe(false);
    behind.mergeWith({ a: 5 });
    expect(VectorClock.isSettled('a', [behind, ahead])).toBe(true);
    expect(VectorClock.isSettled('a', [])).toBe(false);
    const order = VectorClock.compare(behind, ahead);
    expect([behind.prune(['a', 'x']), ahead.prune(['a'])]).toEqual([1, 1]);
    expect(VectorClock.compare(behind, ahead)).toBe(order);
    expect(behind.toJSON()).toEqual({ b: 2 });
  });
});
