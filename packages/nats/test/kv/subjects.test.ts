import { hasCode } from '@canopy/core';
import { expect, test } from 'vitest';
import { keyFilter, subjectMatches } from '../../src/kv/subjects.ts';

test.each([
  ['>', 'a', true],
  ['>', 'a.b', true],
  ['a.>', 'a', false],
  ['a.>', 'a.b.c', true],
  ['*', 'a', true],
  ['*', 'a.b', false],
  ['a.*.c', 'a.b.c', true],
  ['a.*.c', 'a.b.d', false],
  ['a.b', 'a.b', true],
  ['a.b', 'a.b.c', false],
  ['a.b.c', 'a.b', false],
])('%s on %s is %s', (filter, key, expected) => {
  expect(keyFilter(filter)(key)).toBe(expected);
  expect(subjectMatches(filter, key)).toBe(expected);
});

test('ticks match no filter, and several filters are joined by or', () => {
  expect(keyFilter('>')('_tick')).toBe(false);
  expect(['a.x', 'b', 'c'].filter(keyFilter(['a.*', 'b']))).toEqual(['a.x', 'b']);
});

test('a filter that is none is refused', () => {
  for (const filter of ['', '.', 'a..b', '>.a', 'a b', 'a*'])
    expect(() => keyFilter(filter), filter).toThrow(expect.toSatisfy((error) => hasCode(error, 'NAME_REFUSED')));
});
