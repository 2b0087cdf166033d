import { VirtualClock } from '@canopy/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ConflictEntry,
  CRDTMergeStrategy,
  FieldMergeStrategy,
  GCounter,
  GSet,
  HybridClock,
  LastWriteWinsStrategy,
  LWWRegister,
  type ResolutionStrategy,
  VectorClock,
  VersionVectorStrategy,
  writeFields,
} from '../../src/index.ts';
import { checkOrders, entriesOf } from './orders.ts';

const scalar = fc.constantFrom<unknown>(1, '1', null, true, [1], [2]);
const plain = fc.oneof(scalar, fc.record({ x: scalar, y: scalar }, { requiredKeys: [] }));
const record = fc.record({ a: plain, b: plain, ['__proto__']: scalar }, { requiredKeys: [] });
const nested = fc.record({ o: fc.oneof(plain, fc.record({ p: record })), s: scalar }, { requiredKeys: [] });
const clocks = fc.option(fc.record({ entries: fc.record({ n: fc.nat(2), m: fc.nat(2) }) }), { nil: undefined });
const withClocks = fc
  .array(fc.tuple(entriesOf(scalar), clocks), { minLength: 2, maxLength: 4 })
  .map((list) => list.map(([[entry], vectorClock]): ConflictEntry => ({ ...(entry as ConflictEntry), vectorClock })));

const counter = fc.dictionary(fc.constantFrom('n', 'm'), fc.nat(3)).map((json) => GCounter.fromJSON(json));
const set = fc.array(fc.nat(2)).map((json) => GSet.fromJSON(json));
const mixed = fc.record(
  {
    c: fc.oneof(counter, set, scalar),
    o: fc.oneof(plain, fc.record({ in: fc.oneof(counter, scalar), x: scalar }, { requiredKeys: [] })),
    s: scalar,
  },
  { requiredKeys: [] },
);

/** What three nodes write that take over each other's entries, with clocks that agree with cause and effect. */
const history = fc
  .array(fc.record({ at: fc.nat(2), from: fc.option(fc.nat(2)), wallMs: fc.nat(2), value: scalar }), {
    minLength: 2,
    maxLength: 6,
  })
  .map((steps) => {
    const wall = new VirtualClock({ wall: 5 });
    const nodes = ['a', 'b', 'c'].map((nodeId) => ({
      nodeId,
      hybrid: new HybridClock({ nodeId }, { clock: wall }),
      seen: new VectorClock(),
    }));
    const entries = steps.flatMap(({ at, from, wallMs, value }): ConflictEntry[] => {
      const node = nodes[at] as (typeof nodes)[number];
      const other = from === null ? undefined : nodes[from];
      if (other !== undefined) {
        node.seen.mergeWith(other.seen);
        if (other.hybrid.last !== undefined) node.hybrid.observe(other.hybrid.last);
        return [];
      }
      wall.stepWall(wallMs - 1);
      node.seen.increment(node.nodeId);
      const { wallMs: timestamp, counter: logical } = node.hybrid.now();
      const vectorClock = { entries: node.seen.toJSON() };
      return [{ value, timestamp, counter: logical, nodeId: node.nodeId, vectorClock }];
    });
    return entries.slice(0, 4);
  })
  .filter(({ length }) => length >= 2);

/** Versions that grew from one by writing fields, with removals. */
const written = fc
  .array(fc.tuple(nested, fc.boolean(), entriesOf(fc.constant(0))), { minLength: 2, maxLength: 4 })
  .map((list) => {
    const origin: ConflictEntry = { value: { o: { p: { a: 0 } }, s: 's' }, timestamp: 0, nodeId: '10' };
    return list.map(([changes, removes, [stamp]]) => {
      const { timestamp, nodeId } = stamp as ConflictEntry;
      return writeFields(origin, removes ? { ...changes, s: undefined } : changes, { timestamp, nodeId });
    });
  });

describe('the result does not depend on the order of arrival', () => {
  it('last write wins', () => checkOrders(new LastWriteWinsStrategy(), entriesOf(plain), { oneByOne: true }));
  it('version vectors, whatever the times say, all at once', () =>
    checkOrders(new VersionVectorStrategy(), withClocks));
  it('version vectors one by one, with times that respect cause and effect', () =>
    checkOrders(new VersionVectorStrategy(), history, { oneByOne: true }));
  it('field merge', () => checkOrders(new FieldMergeStrategy(), entriesOf(fc.oneof(nested, plain))));
  it('field merge with field clocks, one by one', () =>
    checkOrders(new FieldMergeStrategy({ fieldClocks: true }), entriesOf(nested), { oneByOne: true }));
  it('field merge of versions whose fields were written and removed one by one', () =>
    checkOrders(new FieldMergeStrategy({ fieldClocks: true }), written, { oneByOne: true }));
  it('CRDT merge', () => checkOrders(new CRDTMergeStrategy(), entriesOf(fc.oneof(mixed, scalar, counter))));
  it('CRDT merge with field clocks, one by one', () =>
    checkOrders(new CRDTMergeStrategy({ fieldClocks: true }), entriesOf(mixed), { oneByOne: true }));
});

describe('the same check catches', () => {
  const remoteOnTie: ResolutionStrategy = {
    resolve: (local, remote) =>
      local.timestamp > remote.timestamp ? { ...local, resolution: 'local' } : { ...remote, resolution: 'remote' },
  };
  const localWithoutValue: ResolutionStrategy = {
    resolve: (local, remote) => {
      const order = local.timestamp - remote.timestamp || (local.nodeId < remote.nodeId ? -1 : 1);
      return local.nodeId === remote.nodeId || order >= 0
        ? { ...local, resolution: 'local' }
        : { ...remote, resolution: 'remote' };
    },
  };
  const fieldsFromRemote: ResolutionStrategy = {
    resolve: (local, remote) => ({
      ...(local.timestamp > remote.timestamp ? local : remote),
      value:
        local.timestamp > remote.timestamp ? { ...remote.value, ...local.value } : { ...local.value, ...remote.value },
      resolution: 'merged',
    }),
  };
  it.each<[string, ResolutionStrategy]>([
    ['a tie that goes to the remote version', remoteOnTie],
    ['a tie of one node that goes to the local version', localWithoutValue],
    ['fields whose ties go to the remote version', fieldsFromRemote],
  ])('%s', (_name, strategy) => {
    expect(() => checkOrders(strategy, entriesOf(record))).toThrow(/the two exchanged|all at once/);
  });

  it('whole-value times, one by one: what the field clocks are for', () => {
    expect(() => checkOrders(new FieldMergeStrategy(), entriesOf(record), { oneByOne: true, runs: 2000 })).toThrow(
      /one by one|in pairs/,
    );
  });

  it('version vectors with times that contradict them, one by one: what hybrid clocks are for', () => {
    expect(() => checkOrders(new VersionVectorStrategy(), withClocks, { oneByOne: true, runs: 2000 })).toThrow(
      /one by one|in pairs/,
    );
  });
});

it('a register in an entry is the same register after JSON', () => {
  const register = new LWWRegister('n');
  register.set('x', 4);
  const strategy = new CRDTMergeStrategy();
  const [mine, theirs] = [register, LWWRegister.fromJSON({ value: 'y', timestamp: 5, nodeId: 'm' })];
  const result = strategy.resolve(
    { value: { mine }, timestamp: 2, nodeId: 'a' },
    { value: { mine: theirs }, timestamp: 1, nodeId: 'b' },
  );
  expect(JSON.parse(JSON.stringify(result.value))).toEqual({ mine: { value: 'y', timestamp: 5, nodeId: 'm' } });
});
