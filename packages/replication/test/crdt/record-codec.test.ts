/** Records with values that merge, through JSON and back. */

import { AutomergeDocument } from '@canopy/replication/automerge';
import { YjsDocument } from '@canopy/replication/yjs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeRecord,
  EnableWinsFlag,
  encodeRecord,
  GCounter,
  GSet,
  isMergeable,
  LWWMap,
  LWWRegister,
  MERGEABLE,
  type Mergeable,
  MVRegister,
  ORSet,
  PNCounter,
  registerRecordType,
} from '../../src/index.ts';
import { codeOf } from '../code-of.ts';

const MAKE: ((n: number) => Mergeable)[] = [
  (n) => changed(new GCounter('a'), (value) => value.increment(n)),
  (n) => changed(new PNCounter('a'), (value) => value.decrement(n)),
  (n) => changed(new GSet(), (value) => value.add({ $crdt: n })),
  (n) => changed(new ORSet('a'), (value) => value.add([n, '$crdt'])),
  (n) => changed(new LWWRegister('a'), (value) => value.set({ $crdt: 'GSet', state: [n] }, n)),
  (n) => changed(new LWWMap('a'), (value) => value.set('$crdt', n, n)),
  (n) => changed(new MVRegister('a'), (value) => value.set(n)),
  (n) => changed(new EnableWinsFlag('a'), (value) => (n % 2 === 0 ? value.enable() : value)),
];

function changed<T>(value: T, change: (value: T) => unknown): T {
  change(value);
  return value;
}

const mergeable = fc
  .tuple(fc.nat(MAKE.length - 1), fc.nat(9))
  .map(([kind, n]) => (MAKE[kind] as (n: number) => Mergeable)(n));
const name = fc.oneof(fc.constantFrom('$crdt', 'state', '', '__proto__', 'constructor', 'toJSON'), fc.string());
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      fc.string(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0 || 0),
      fc.boolean(),
      fc.constant(null),
    ),
    fc.constantFrom('', 'GCounter', 'GSet'),
    mergeable,
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .uniqueArray(fc.tuple(name, tie('value')), { selector: ([key]) => key, maxLength: 4 })
      .map((entries) => Object.fromEntries(entries)),
  ),
}));

test('every record survives JSON, whatever its own properties are called', () => {
  fc.assert(
    fc.property(value, (record) => {
      const before = shown(record);
      const json = JSON.parse(JSON.stringify(encodeRecord(record)));
      expect(shown(decodeRecord(json, 'b'))).toBe(before);
      expect(shown(record), 'the record is left alone').toBe(before);
    }),
    { numRuns: 500 },
  );
});

test('what has no values that merge is its own JSON, and is not copied', () => {
  const plain = { a: [1, { b: null }], state: 'x' };
  expect(encodeRecord(plain)).toBe(plain);
  expect(decodeRecord(plain)).toBe(plain);
  expect(encodeRecord({ n: 1, gone: undefined })).toEqual({ n: 1 });
  expect(encodeRecord({ clicks: new GCounter('a') })).toEqual({ clicks: { $crdt: 'GCounter', state: {} } });
  expect(encodeRecord({ $crdt: 'GCounter', state: {} })).toEqual({
    $crdt: '',
    state: { $crdt: 'GCounter', state: {} },
  });
});

test('who changes a restored value is said when it is restored', () => {
  const json = encodeRecord([changed(new GCounter('a'), (counter) => counter.increment(2))]);
  const [mine] = decodeRecord(json, 'b') as [GCounter];
  mine.increment();
  expect(mine.toJSON()).toEqual({ a: 2, b: 1 });
  const [nobodys] = decodeRecord(json) as [GCounter];
  expect(codeOf(() => nobodys.increment())).toBe('CRDT_NODE_UNKNOWN');
});

test('unknown kinds, damaged states and what JSON would change are refused', () => {
  const damaged: unknown[] = [
    { $crdt: 'Unheard', state: {} },
    { $crdt: 'toString', state: {} },
    { $crdt: 1, state: {} },
    { $crdt: 'GCounter' },
    { $crdt: 'GCounter', state: { a: -1 } },
    { $crdt: '', state: 1 },
    { $crdt: '' },
  ];
  for (const json of damaged)
    expect(
      codeOf(() => decodeRecord({ deep: [json] })),
      JSON.stringify(json),
    ).toBe('CRDT_STATE_INVALID');
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const wrong = [
    cycle,
    new Map(),
    { at: new Date(0) },
    [undefined],
    Number.NaN,
    1n,
    Symbol('s'),
    () => 1,
    { [Symbol('s')]: 1 },
  ];
  for (const record of wrong) expect(codeOf(() => encodeRecord(record))).toBe('REPLICATED_VALUE_INVALID');
  let deep: unknown = 0;
  for (let i = 0; i < 2000; i++) deep = [deep];
  expect(codeOf(() => encodeRecord(deep))).toBe('REPLICATED_VALUE_INVALID');
  expect(codeOf(() => decodeRecord(deep))).toBe('CRDT_STATE_INVALID');
});

test('documents of others are known once their module is loaded; users register types of their own', () => {
  const page = new YjsDocument();
  page.change((doc) => doc.getText('body').insert(0, 'Title'));
  const sheet = new AutomergeDocument<{ n?: number }>();
  sheet.change((doc) => {
    doc.n = 7;
  });
  const json = JSON.parse(JSON.stringify(encodeRecord({ page, sheet })));
  const read = decodeRecord(json) as { page: YjsDocument; sheet: AutomergeDocument<{ n?: number }> };
  expect(read.page.doc.getText('body').toString()).toBe('Title');
  expect(read.page.fingerprint()).toBe(page.fingerprint());
  expect(read.sheet.doc.n).toBe(7);
  const own: Mergeable = { [MERGEABLE]: 'Greatest', mergedWith: (other) => other, toJSON: () => 3 };
  expect(codeOf(() => encodeRecord({ own }))).toBe('REPLICATED_VALUE_INVALID');
  registerRecordType('Greatest', (state) => ({ ...own, toJSON: () => state }));
  expect((decodeRecord(encodeRecord({ own })) as { own: Mergeable }).own.toJSON()).toBe(3);
});

/** A text that tells classes, own properties and states apart. */
function shown(part: unknown): string {
  if (isMergeable(part)) return `${part.constructor.name}(${JSON.stringify(part.toJSON())})`;
  if (Array.isArray(part)) return `[${part.map(shown).join()}]`;
  if (typeof part !== 'object' || part === null) return JSON.stringify(part);
  return `{${Object.keys(part)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${shown((part as Record<string, unknown>)[key])}`)
    .join()}}`;
}
