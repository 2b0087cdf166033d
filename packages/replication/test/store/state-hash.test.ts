import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GSet, StateHash, stateHash } from '../../src/index.ts';

const state = fc.uniqueArray(fc.tuple(fc.string(), fc.jsonValue()), { selector: ([key]) => key, maxLength: 12 });

test('equal states hash equal in any order of entries and properties', () => {
  fc.assert(
    fc.property(state, fc.infiniteStream(fc.nat()), (entries, chance) => {
      const shuffled = entries
        .map((entry) => [chance.next().value as number, entry] as const)
        .sort(([a], [b]) => a - b)
        .map(([, [key, value]]) => [key, turned(value)] as const);
      expect(stateHash(shuffled)).toBe(stateHash(entries));
      expect(stateHash(new Map(shuffled))).toMatch(/^[0-9a-f]{64}$/);
    }),
  );
});

test('different states hash differently', () => {
  const states: (readonly [string, unknown])[][] = [
    [],
    [['a', 1]],
    [['a', '1']],
    [['a', null]],
    [['b', 1]],
    [
      ['a', 1],
      ['b', 2],
    ],
    [
      ['a', 2],
      ['b', 1],
    ],
    [
      ['a', 1],
      ['a', 1],
    ],
    [['a', [1]]],
    [['a', { b: 1 }]],
    [['a', { b: 1, c: undefined, d: 2 }]],
  ];
  expect(new Set(states.map((entries) => stateHash(entries))).size).toBe(states.length);
  fc.assert(
    fc.property(state, state, (a, b) => {
      const same = text(a) === text(b);
      expect(stateHash(a) === stateHash(b)).toBe(same);
    }),
  );
});

test('undefined is no entry; values that merge count by their state', () => {
  expect(stateHash([['a', undefined]])).toBe(stateHash([]));
  const [left, right] = [new GSet<number>(), new GSet<number>()];
  for (const i of [1, 2]) left.add(i);
  for (const i of [2, 1]) right.add(i);
  expect(stateHash([['a', { set: left }]])).toBe(stateHash([['a', { set: right }]]));
  const hash = new StateHash().add('a', 1);
  expect(hash.digest()).toBe(stateHash([['a', 1]]));
  expect(hash.add('b', 2).digest()).toBe(stateHash(new Map(Object.entries({ b: 2, a: 1 }))));
});

/** The same value with its properties the other way round. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, inner]) => [name, turned(inner)]),
  );
}

/** Properties by name, as an object that no list equals. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value;
  const names = Object.keys(value).sort();
  return { names, values: names.map((name) => sorted((value as Record<string, unknown>)[name])) };
}

const text = (entries: readonly (readonly [string, unknown])[]): string =>
  JSON.stringify([...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, sorted(value)]));
