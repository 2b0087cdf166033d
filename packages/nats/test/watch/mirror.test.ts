import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Change, Mirror } from '../../src/watch/mirror.ts';

type Row = { revision: number };
const put = (key: string, revision: number): Change<Row> => ({ key, item: { revision }, present: true });
const gone = (key: string, revision: number): Change<Row> => ({ key, item: { revision }, present: false });

test('live, every message is a change', () => {
  const mirror = new Mirror<Row>();
  expect(mirror.apply(put('a', 1))).toEqual(put('a', 1));
  expect(mirror.apply(gone('a', 2))).toEqual(gone('a', 2));
  expect(mirror.apply(gone('a', 3))).toEqual(gone('a', 3));
  expect(mirror.size).toBe(0);
});

test('a listing yields differences only, and at its end what is gone', () => {
  const mirror = new Mirror<Row>();
  for (const change of [put('same', 1), put('changed', 2), put('deleted', 3), put('expired', 4)]) mirror.apply(change);
  mirror.beginListing();
  expect(mirror.apply(put('same', 1))).toBeUndefined();
  expect(mirror.apply(put('changed', 9))).toEqual(put('changed', 9));
  expect(mirror.apply(gone('deleted', 10))).toEqual(gone('deleted', 10));
  expect(mirror.apply(gone('never known', 11))).toBeUndefined();
  expect(mirror.apply(put('new', 12))).toEqual(put('new', 12));
  expect(mirror.endListing()).toEqual([{ ...gone('expired', 4), vanished: true }]);
  expect([...mirror.entries()].map(([key]) => key).sort()).toEqual(['changed', 'new', 'same']);
});

test('a bucket that was made anew differs also where its revisions are lower', () => {
  const mirror = new Mirror<Row>();
  mirror.apply(put('a', 100));
  mirror.beginListing();
  expect(mirror.apply(put('a', 1))).toEqual(put('a', 1));
});

test('retain drops what is denied, except what was written since', () => {
  const mirror = new Mirror<Row>();
  for (const change of [put('a', 1), put('b', 2), put('c', 3)]) mirror.apply(change);
  const before = mirror.snapshot();
  mirror.apply(put('b', 4));
  mirror.apply(put('d', 5));
  expect(mirror.retain(before, (key) => key === 'c')).toEqual([{ ...gone('a', 1), vanished: true }]);
  expect([...mirror.entries()].map(([key]) => key).sort()).toEqual(['b', 'c', 'd']);
});

test('whatever is missed between listings, the told changes always add up to the truth', () => {
  const step = fc.record({ key: fc.constantFrom('a', 'b', 'c'), present: fc.boolean(), heard: fc.boolean() });
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 12 }), { maxLength: 6 }), (rounds) => {
      const mirror = new Mirror<Row>();
      const truth = new Map<string, number>();
      const told = new Map<string, number>();
      let revision = 0;
      const tell = (change: Change<Row> | undefined): void => {
        if (change?.present) told.set(change.key, change.item.revision);
        else if (change !== undefined) told.delete(change.key);
      };
      for (const round of rounds) {
        for (const { key, present, heard } of round) {
          revision += 1;
          if (present) truth.set(key, revision);
          else truth.delete(key);
          if (heard) tell(mirror.apply({ key, item: { revision }, present }));
        }
        mirror.beginListing();
        for (const [key, at] of truth) tell(mirror.apply(put(key, at)));
        for (const change of mirror.endListing()) tell(change);
        expect(told).toEqual(truth);
      }
    }),
  );
});

test('what the server says has expired is told as vanished, with what was last seen', () => {
  const mirror = new Mirror<Row>();
  mirror.apply(put('a', 1));
  const expired = (key: string, revision: number): Change<Row> => ({ ...gone(key, revision), vanished: true });
  expect(mirror.apply(expired('a', 7))).toEqual(expired('a', 1));
  expect(mirror.apply(expired('a', 8))).toBeUndefined();
  mirror.apply(put('b', 9));
  mirror.beginListing();
  expect(mirror.apply(expired('b', 10))).toEqual(expired('b', 9));
  expect(mirror.endListing()).toEqual([]);
});
