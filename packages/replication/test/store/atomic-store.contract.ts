/** What every `SpaceStore`, and so every `AtomicStore`, does: run on each implementation. `reopen` ends a store as the death of its process would, and opens what it left. */
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Json, SpaceStore, StoreChange } from '../../src/index.ts';
import { codeOf } from '../code-of.ts';

export interface StoreRig {
  open(): SpaceStore;
  reopen(store: SpaceStore): SpaceStore;
}

const put = (key: string, value: Json, space = 's'): StoreChange => ({ space, key, value });
const remove = (key: string, space = 's'): StoreChange => ({ space, key, value: undefined });
const keysOf = (rows: readonly (readonly [string, Json])[]): string[] => rows.map(([key]) => key);
/** The order of UTF-8 bytes. */
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

export function describeAtomicStoreContract(name: string, rig: StoreRig): void {
  const opened = (): SpaceStore => {
    const store = rig.open();
    onTestFinished(() => store.close());
    return store;
  };

  describe(`atomic store: ${name}`, () => {
    test('keeps what JSON can carry, and gives copies', () => {
      const store = opened();
      const values: Json[] = [
        null,
        true,
        0,
        -0.5,
        2 ** 53 - 1,
        '',
        'é\u{1f600}\0"',
        [],
        {},
        [1, [null]],
        { a: { b: [] } },
      ];
      store.commit(values.map((value, i) => put(`k${i}`, value)));
      for (const [i, value] of values.entries()) expect(store.get('s', `k${i}`)).toEqual(value);
      const given = { list: [1] };
      store.commit([put('own', given)]);
      given.list.push(2);
      (store.get('s', 'own') as { list: number[] }).list.push(3);
      expect(store.get('s', 'own')).toEqual({ list: [1] });
      expect(store.get('s', 'absent')).toBeUndefined();
      expect(store.get('other', 'own')).toBeUndefined();
      expect(store.count('other')).toBe(0);
      expect(store.scan('other')).toEqual([]);
    });

    test('carries out changes in their order, and counts the writes of a key', () => {
      const store = opened();
      store.commit([put('a', 1), put('a', 2), remove('b'), put('c', 1), remove('c')]);
      expect([store.get('s', 'a'), store.version('s', 'a')]).toEqual([2, 2]);
      expect([store.get('s', 'c'), store.version('s', 'c')]).toEqual([undefined, 0]);
      store.commit([remove('a'), put('a', 3)]);
      expect([store.version('s', 'a'), store.count('s')]).toEqual([1, 1]);
      store.commit([]);
    });

    test('refuses what it can not keep, and then keeps nothing of the commit', () => {
      const store = opened();
      const cycle: { self?: unknown } = {};
      cycle.self = cycle;
      const invalid: StoreChange[] = [
        put('', 1, ''),
        put('k', 1, 'a b'),
        put('k', 1, 'a"; DROP TABLE spaces; --'),
        put('\ud800', 1),
        put('é'.repeat(513), 1),
        put('k', cycle as Json),
        put('k', (() => 1) as unknown as Json),
        { space: 's', key: 1 as unknown as string, value: 1 },
      ];
      for (const change of invalid) {
        expect(codeOf(() => store.commit([put('first', 1, 'new'), change]))).toBe('STATE_STORE_INPUT_INVALID');
        expect(store.count('new')).toBe(0);
      }
      expect(codeOf(() => store.commit([], [{ from: 's', to: 'a b' }]))).toBe('STATE_STORE_INPUT_INVALID');
      expect(codeOf(() => store.get('a b', 'k'))).toBe('STATE_STORE_INPUT_INVALID');
      store.commit([put('é'.repeat(512), 1), put('', 2), put('first', 3, 'new')]);
      expect(store.get('s', 'é'.repeat(512))).toBe(1);
      expect(keysOf(store.scan('s', { limit: 2 }))).toEqual(['', 'é'.repeat(512)]);
    });

    test('scans in the order of code points, after a key, by prefix, up to a limit', () => {
      const store = opened();
      const unit = fc.constantFrom(
        'a',
        'b',
        'z',
        '\0',
        '~',
        '\u{7ff}',
        '\u{d7ff}',
        '\u{e000}',
        '\uffff',
        '\u{10000}',
        '\u{10ffff}',
      );
      const key = fc.string({ unit, maxLength: 4 });
      fc.assert(
        fc.property(
          fc.uniqueArray(key, { maxLength: 25 }),
          fc.option(key),
          key,
          fc.nat(6),
          (keys, after, prefix, limit) => {
            store.commit([], [{ from: 'nothing', to: 's' }]);
            store.commit(keys.map((each, i) => put(each, i)));
            const doomed = keys.filter((_, i) => i % 5 === 4);
            store.commit(doomed.map((each) => remove(each)));
            const left = keys.filter((each) => !doomed.includes(each)).sort(byBytes);
            expect(keysOf(store.scan('s'))).toEqual(left);
            const wanted = left
              .filter((each) => each.startsWith(prefix) && (after === null || byBytes(each, after) > 0))
              .slice(0, limit);
            const options = { prefix, limit, ...(after === null ? {} : { after }) };
            expect(keysOf(store.scan('s', options))).toEqual(wanted);
          },
        ),
        { numRuns: 100 },
      );
      store.commit(Array.from({ length: 1001 }, (_, i) => put(`k${i}`, i, 'many')));
      expect(store.scan('many')).toHaveLength(1000);
      store.commit(['\u{d7ff}a', '\u{e000}', '\u{10ffff}b'].map((each) => put(each, 1, 'edges')));
      const edge = (prefix: string): string[] => keysOf(store.scan('edges', { prefix }));
      expect([edge('\u{d7ff}'), edge('\u{10ffff}')]).toEqual([['\u{d7ff}a'], ['\u{10ffff}b']]);
    });

    test('moves a space in the place of another, together with changes', () => {
      const store = opened();
      store.commit([
        put('old', 1),
        put('both', 1),
        put('new', 2, 'next'),
        put('both', 2, 'next'),
        put('both', 3, 'next'),
      ]);
      store.commit([put('late', 4), put('begin', 5, 'next')], [{ from: 'next', to: 's' }]);
      expect(store.scan('s')).toEqual([
        ['both', 3],
        ['late', 4],
        ['new', 2],
      ]);
      expect(store.version('s', 'both')).toBe(2);
      expect(store.scan('next')).toEqual([['begin', 5]]);
      store.commit(
        [],
        [
          { from: 'empty', to: 'next' },
          { from: 's', to: 's' },
        ],
      );
      expect([store.count('next'), store.count('s')]).toEqual([0, 3]);
      // Two spaces change places through a third.
      store.commit([put('x', 1, 'a'), put('y', 2, 'b')]);
      store.commit(
        [],
        [
          { from: 'a', to: 'c' },
          { from: 'b', to: 'a' },
          { from: 'c', to: 'b' },
        ],
      );
      expect([store.scan('a'), store.scan('b'), store.count('c')]).toEqual([[['y', 2]], [['x', 1]], 0]);
    });

    test('a snapshot stays as it was, while everything changes', () => {
      const store = opened();
      store.commit([put('a', 1), put('b', 1), put('n', 1, 'next')]);
      const before = store.snapshot();
      store.commit([put('a', 2), remove('b'), put('c', 2)]);
      const between = store.snapshot();
      store.commit([put('a', 3, 'next')], [{ from: 'next', to: 's' }]);
      expect(before.scan('s')).toEqual([
        ['a', 1],
        ['b', 1],
      ]);
      expect([before.get('s', 'a'), before.count('s'), before.count('next')]).toEqual([1, 2, 1]);
      expect(between.scan('s')).toEqual([
        ['a', 2],
        ['c', 2],
      ]);
      expect(store.scan('s')).toEqual([['n', 1]]);
      before.close();
      before.close();
      expect(codeOf(() => before.get('s', 'a'))).toBe('STATE_STORE_CLOSED');
      store.close();
      expect(codeOf(() => between.scan('s'))).toBe('STATE_STORE_CLOSED');
    });

    test('what was committed is there after a crash; what was refused is not', () => {
      const store = opened();
      store.commit([put('a', 1), put('a', 2), put('z', 1, 'other')]);
      codeOf(() =>
        store.commit([put('a', 9), put('lost', 9, 'fresh'), put('\udfff', 1)], [{ from: 'other', to: 'moved' }]),
      );
      store.commit([put('b', 3)]);
      const next = rig.reopen(store);
      onTestFinished(() => next.close());
      expect(next.scan('s')).toEqual([
        ['a', 2],
        ['b', 3],
      ]);
      expect(next.version('s', 'a')).toBe(2);
      expect([next.count('fresh'), next.count('moved'), next.count('other')]).toEqual([0, 0, 1]);
    });

    test('closed is closed', () => {
      const store = opened();
      store.commit([put('a', 1)]);
      store.close();
      store.close();
      const calls = [
        () => store.get('s', 'a'),
        () => store.commit([put('a', 2)]),
        () => store.commit([]),
        () => store.scan('s'),
        () => store.count('s'),
        () => store.version('s', 'a'),
        () => store.snapshot(),
      ];
      for (const call of calls) expect(codeOf(call)).toBe('STATE_STORE_CLOSED');
    });
  });
}
