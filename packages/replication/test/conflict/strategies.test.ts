import { describe, expect, it } from 'vitest';
import {
  type ConflictEntry,
  ConflictResolver,
  CRDTMergeStrategy,
  CustomResolverStrategy,
  FieldMergeStrategy,
  GCounter,
  LastWriteWinsStrategy,
  type ResolutionStrategy,
  VersionVectorStrategy,
  writeFields,
} from '../../src/index.ts';
import { codeOf } from '../code-of.ts';

const entry = (value: unknown, timestamp: number, nodeId = 'a', more: object = {}): ConflictEntry => ({
  value,
  timestamp,
  nodeId,
  ...more,
});
const lww = new ConflictResolver(new LastWriteWinsStrategy());

describe('ConflictResolver', () => {
  it('needs a strategy, at the start and later', () => {
    expect(codeOf(() => new ConflictResolver(undefined as never))).toBe('CONFLICT_STRATEGY_MISSING');
    const resolver = new ConflictResolver(new LastWriteWinsStrategy());
    expect(codeOf(() => resolver.setStrategy(null as never))).toBe('CONFLICT_STRATEGY_MISSING');
    resolver.setStrategy(new CustomResolverStrategy((local) => ({ ...local, resolution: 'custom' })));
    expect(resolver.resolve(entry(1, 1), entry(2, 2)).resolution).toBe('custom');
  });

  it.each(['timestamp', 'nodeId', 'resolution'])('refuses a result without %s', async (field) => {
    const result = { ...entry(1, 1), resolution: 'custom', [field]: undefined };
    const resolver = new ConflictResolver({ resolve: () => result } as unknown as ResolutionStrategy);
    expect(codeOf(() => resolver.resolve(entry(1, 1), entry(2, 2)))).toBe('CONFLICT_RESULT_INVALID');
    await expect(resolver.resolveAsync(entry(1, 1), entry(2, 2))).rejects.toMatchObject({
      code: 'CONFLICT_RESULT_INVALID',
    });
  });

  it('resolves many: none is an error, one is itself, a strategy without its own way is applied in order', () => {
    expect(codeOf(() => lww.resolveMultiple([]))).toBe('CONFLICT_ENTRIES_EMPTY');
    expect(lww.resolveMultiple([entry(1, 1)])).toEqual({ ...entry(1, 1), resolution: 'local' });
    const joining = new CustomResolverStrategy((a, b) => ({
      ...entry(a.value + b.value, b.timestamp),
      resolution: 'custom',
    }));
    expect(new ConflictResolver(joining).resolveMultiple(['x', 'y', 'z'].map((v, i) => entry(v, i)))).toMatchObject({
      value: 'xyz',
      timestamp: 2,
    });
  });

  it('waits for strategies that take their time, and falls back to those that do not', async () => {
    const slow = new ConflictResolver(
      new CustomResolverStrategy(async (_, remote) => ({ ...remote, resolution: 'custom' })),
    );
    expect(await slow.resolveAsync(entry(1, 1), entry(2, 2))).toMatchObject({ value: 2, resolution: 'custom' });
    expect(await lww.resolveAsync(entry(1, 1), entry(2, 2))).toMatchObject({ value: 2, resolution: 'remote' });
  });
});

describe('LastWriteWinsStrategy', () => {
  it('goes by time, counter, node id as text, and value', () => {
    expect(lww.resolve(entry('l', 2), entry('r', 1)).resolution).toBe('local');
    expect(lww.resolve(entry('l', 1, '9'), entry('r', 1, '10')).value).toBe('l');
    expect(lww.resolve(entry('l', 1, 'z'), entry('r', 1, 'a', { counter: 1 }))).toMatchObject({
      value: 'r',
      counter: 1,
    });
    expect(lww.resolve(entry({ a: 2 }, 1), entry({ a: 1 }, 1)).value).toEqual({ a: 2 });
    expect(lww.resolve(entry({ a: 1 }, 1), entry({ a: 2 }, 1)).value).toEqual({ a: 2 });
    expect(lww.resolve(entry({ a: 1, b: 2 }, 1), entry({ b: 2, a: 1 }, 1)).resolution).toBe('local');
  });

  it('takes times of any sign and size, and a missing one for 0', () => {
    expect(lww.resolve(entry('l', -5), entry('r', -6)).value).toBe('l');
    expect(lww.resolve(entry('l', 1), entry('r', 9e15)).value).toBe('r');
    const without = { value: 'l', nodeId: 'z' } as unknown as ConflictEntry;
    expect(lww.resolve(without, entry('r', -1))).toMatchObject({ value: 'l', timestamp: 0 });
    expect(lww.resolve(without, entry('r', 0)).value).toBe('l');
  });

  it("keeps the winner's own clock", () => {
    const [l, r] = [{ entries: { a: 1 } }, { entries: { b: 1 } }];
    expect(lww.resolve(entry(1, 1, 'a', { vectorClock: l }), entry(2, 2, 'b', { vectorClock: r })).vectorClock).toEqual(
      r,
    );
  });

  it.each([{ timestamp: Number.NaN }, { timestamp: '5' }, { nodeId: 5 }, { counter: 0.5 }, { counter: '1' }])(
    'refuses an entry with %j',
    (wrong) => {
      expect(codeOf(() => lww.resolve(entry(1, 1, 'a', wrong), entry(2, 1)))).toBe('CONFLICT_ENTRY_INVALID');
      expect(codeOf(() => lww.resolve(entry(1, 1), entry(2, 1, 'b', wrong)))).toBe('CONFLICT_ENTRY_INVALID');
    },
  );

  it('tells values apart that JSON can not, without failing', () => {
    const cycle: Record<string, unknown> = {
      f: () => 1,
      s: Symbol('s'),
      d: new Date(5),
      m: new Map([[1, new Set([2])]]),
      n: 1n,
    };
    cycle.self = cycle;
    const other = { ...cycle, d: new Date(6) };
    expect(lww.resolve(entry(cycle, 1), entry(other, 1)).value).toBe(
      lww.resolve(entry(other, 1), entry(cycle, 1)).value,
    );
  });
});

describe('VersionVectorStrategy', () => {
  const strategy = new VersionVectorStrategy();
  const clock = (entries: Record<string, number>) => ({ vectorClock: { entries } });

  it('takes what has seen the other, whatever the times say', () => {
    const [old, seen] = [entry('old', 9, 'a', clock({ a: 1 })), entry('new', 1, 'b', clock({ a: 1, b: 1 }))];
    expect(strategy.resolve(seen, old)).toMatchObject({ value: 'new', resolution: 'local', ...clock({ a: 1, b: 1 }) });
    expect(strategy.resolve(old, seen)).toMatchObject({ value: 'new', resolution: 'remote' });
  });

  it('a tie goes to the greater node, equal and missing clocks count as concurrent', () => {
    expect(strategy.resolve(entry('z', 1, 'z'), entry('a', 1, 'a'))).toMatchObject({
      value: 'z',
      resolution: 'merged',
    });
    const equal = strategy.resolve(entry('x', 1, 'a', clock({ a: 1 })), entry('y', 2, 'a', clock({ a: 1 })));
    expect(equal).toMatchObject({ value: 'y', resolution: 'merged', conflicts: [{ value: 'x' }, { value: 'y' }] });
    expect(strategy.resolve(entry('x', 1), entry('y', 2, 'b', clock({ b: 1 })))).toMatchObject({
      value: 'y',
      ...clock({ b: 1 }),
    });
  });

  it('of many leaves out what others have seen, and names the rest', () => {
    const [a, b] = [entry('a', 3, 'a', clock({ a: 1 })), entry('b', 2, 'b', clock({ b: 1 }))];
    const c = entry('c', 1, 'c', clock({ a: 1, c: 1 }));
    const result = new ConflictResolver(strategy).resolveMultiple([a, b, c]);
    expect(result).toMatchObject({ value: 'b', resolution: 'merged', ...clock({ a: 1, b: 1, c: 1 }) });
    expect(result.conflicts?.map(({ value }) => value)).toEqual(['b', 'c']);
    expect(new ConflictResolver(strategy).resolveMultiple([a, c])).toMatchObject({ value: 'c', resolution: 'remote' });
    expect(new ConflictResolver(strategy).resolveMultiple([c, a])).toMatchObject({ value: 'c', resolution: 'local' });
  });

  it('refuses clocks that are none', () => {
    const wrong = entry(1, 1, 'a', clock({ a: -1 }));
    expect(codeOf(() => strategy.resolve(wrong, entry(2, 2, 'b', clock({}))))).toBe('VECTOR_CLOCK_INVALID');
  });
});

describe('FieldMergeStrategy', () => {
  const strategy = new FieldMergeStrategy();
  const merge = (local: unknown, remote: unknown, at: [number, number] = [1, 2]): unknown =>
    strategy.resolve(entry(local, at[0], 'a'), entry(remote, at[1], 'b')).value;

  it('goes into plain objects, and takes all else whole', () => {
    expect(merge({ o: { x: 1, y: 1 } }, { o: { y: 2, z: 2 } })).toEqual({ o: { x: 1, y: 2, z: 2 } });
    expect(merge({ l: [1, 2], m: new Map([[1, 1]]) }, { l: [3], m: new Map([[2, 2]]) })).toEqual({
      l: [3],
      m: new Map([[2, 2]]),
    });
    const [early, late] = [new Date(1), new Date(2)];
    expect(merge({ d: late }, { d: early })).toEqual({ d: early });
    expect(merge({ o: { x: 1 } }, { o: 5 })).toEqual({ o: 5 });
    expect(merge({ o: { x: 1 } }, { o: 5 }, [2, 1])).toEqual({ o: { x: 1 } });
  });

  it('null is a value inside, and nothing at the top', () => {
    expect(merge({ a: 1 }, { a: null })).toEqual({ a: null });
    expect([merge({ a: 1 }, null), merge(null, { a: 1 }), merge(null, null)]).toEqual([{ a: 1 }, { a: 1 }, null]);
    expect(merge({ a: 1, b: undefined }, { a: undefined, b: 2 })).toEqual({ a: 1, b: 2 });
    expect([merge('x', 'y'), merge('x', { a: 1 }, [2, 1])]).toEqual(['y', 'x']);
  });

  it('takes cycles, symbols and keys like __proto__ as they come', () => {
    const cycle: Record<string, unknown> = { a: 1 };
    cycle.self = cycle;
    expect(merge(cycle, { a: 2 })).toMatchObject({ a: 2 });
    const key = Symbol('k');
    expect(merge({ [key]: 1, b: 1 }, { [key]: 2 })).toEqual({ [key]: 2, b: 1 });
    const merged = merge(JSON.parse('{"__proto__":{"polluted":1}}'), { a: 1 });
    expect(JSON.stringify(merged)).toBe('{"__proto__":{"polluted":1},"a":1}');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    const deep = JSON.parse(`${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`);
    expect(merge(deep, { b: 1 })).toHaveProperty('b', 1);
  });

  it('with field clocks: each field by its own time, whoever meets whom first', () => {
    const clocked = new FieldMergeStrategy({ fieldClocks: true });
    const origin = entry({ name: 'Alice', tel: '1' }, 1, 'a');
    const mine = writeFields(origin, { name: 'Alicia' }, { timestamp: 5, nodeId: 'a' });
    const theirs = writeFields(origin, { tel: '2' }, { timestamp: 9, nodeId: 'b' });
    expect(theirs).toEqual({
      ...entry({ name: 'Alice', tel: '2' }, 9, 'b'),
      fieldClocks: { at: { timestamp: 9, nodeId: 'b' }, fields: { name: { at: { timestamp: 1, nodeId: 'a' } } } },
    });
    expect(clocked.resolve(mine, theirs)).toMatchObject({
      value: { name: 'Alicia', tel: '2' },
      timestamp: 9,
      nodeId: 'b',
    });
    expect(strategy.resolve(mine, theirs).value).toEqual({ name: 'Alice', tel: '2' });
    expect(origin).toEqual(entry({ name: 'Alice', tel: '1' }, 1, 'a'));
  });

  it('with field clocks: what was removed stays removed, until it is written later', () => {
    const clocked = new FieldMergeStrategy({ fieldClocks: true });
    const origin = entry({ a: 1, b: { c: 1, d: 1 } }, 1, 'a');
    const removed = writeFields(origin, { a: undefined, b: { c: undefined } }, { timestamp: 5, nodeId: 'a' });
    expect(removed.value).toEqual({ b: { d: 1 } });
    const overWire = JSON.parse(JSON.stringify(removed));
    expect(clocked.resolve(origin, overWire).value).toEqual({ b: { d: 1 } });
    const again = writeFields(origin, { a: 2 }, { timestamp: 6, nodeId: 'b' });
    expect(clocked.resolve(again, overWire).value).toEqual({ a: 2, b: { d: 1 } });
    const tied = writeFields(origin, { a: 3 }, { timestamp: 5, nodeId: 'a' });
    expect([clocked.resolve(tied, removed).value.a, clocked.resolve(removed, tied).value.a]).toEqual([3, 3]);
    expect(writeFields(overWire, { a: 7 }, { timestamp: 4, nodeId: 'b' }).value).toEqual({ b: { d: 1 } });
  });

  it.each([
    null,
    [],
    5,
    {},
    { at: 5 },
    { at: { timestamp: '1', nodeId: 'a' } },
    { at: { timestamp: 1, nodeId: 'a' }, fields: [] },
    { at: { timestamp: 1, nodeId: 'a' }, fields: { x: { at: null } } },
    { at: { timestamp: 1, nodeId: 'a' }, removed: 'yes' },
    { at: { timestamp: 1, nodeId: 'a' }, floor: 3 },
    { at: { timestamp: Number.NaN, nodeId: 'a' } },
  ])('refuses field clocks such as %j', (fieldClocks) => {
    const clocked = new FieldMergeStrategy({ fieldClocks: true });
    expect(codeOf(() => clocked.resolve(entry({ x: 1 }, 1, 'a', { fieldClocks }), entry({}, 2)))).toBe(
      'CONFLICT_ENTRY_INVALID',
    );
    expect(strategy.resolve(entry({ x: 1 }, 1, 'a', { fieldClocks }), entry({}, 2)).value).toEqual({ x: 1 });
  });
});

describe('CRDTMergeStrategy', () => {
  const strategy = new CRDTMergeStrategy();

  it('changes neither input, and what it gives is independent of them', () => {
    const [mine, theirs] = [GCounter.fromJSON({ a: 1 }, 'a'), GCounter.fromJSON({ b: 2 }, 'b')];
    const result = strategy.resolve(entry({ n: mine, only: mine }, 1), entry({ n: theirs }, 2));
    result.value.n.increment(10);
    result.value.only.increment(10);
    expect([mine.value(), theirs.value(), result.value.n.value(), result.value.only.value()]).toEqual([1, 2, 13, 11]);
  });

  it('other fields go to the later write, also when that is the local one, and whole', () => {
    const result = strategy.resolve(
      entry({ n: new GCounter('a'), t: 'mine', o: { x: 1 } }, 2),
      entry({ t: 'theirs', o: { y: 1 }, p: 1 }, 1),
    );
    expect(result.value).toMatchObject({ t: 'mine', p: 1 });
    expect(result.value.o).toEqual({ x: 1 });
  });

  it('merges inside of objects, and keeps a value that merges against a later plain one', () => {
    const local = entry({ o: { n: GCounter.fromJSON({ a: 1 }), t: 'l' } }, 1);
    const merged = strategy.resolve(local, entry({ o: { n: GCounter.fromJSON({ b: 1 }), t: 'r' } }, 2));
    expect(JSON.stringify(merged.value)).toBe('{"o":{"n":{"a":1,"b":1},"t":"r"}}');
    expect(JSON.stringify(strategy.resolve(local, entry({ o: 'plain' }, 2)).value)).toBe('{"o":{"n":{"a":1}}}');
    expect(
      strategy.resolve(entry(GCounter.fromJSON({ a: 1 }), 1), entry(GCounter.fromJSON({ b: 1 }), 2)).value.value(),
    ).toBe(2);
  });

  it('decides between plain values as last write wins does', () => {
    expect(strategy.resolve(entry('l', 3), entry('r', 2))).toMatchObject({ value: 'l', resolution: 'local' });
  });
});

describe('CustomResolverStrategy', () => {
  it('says what to do about a promise, and leaves no rejection behind', () => {
    const strategy = new CustomResolverStrategy(async () => Promise.reject(new Error('late')));
    expect(() => strategy.resolve(entry(1, 1), entry(2, 2))).toThrow(
      expect.objectContaining({ code: 'CONFLICT_RESOLVER_ASYNC', message: expect.stringContaining('resolveAsync') }),
    );
  });

  it('throws what the function throws, and needs one', async () => {
    const strategy = new CustomResolverStrategy(() => {
      throw new RangeError('mine');
    });
    expect(() => strategy.resolve(entry(1, 1), entry(2, 2))).toThrow(RangeError);
    await expect(strategy.resolveAsync(entry(1, 1), entry(2, 2))).rejects.toThrow(RangeError);
    expect(codeOf(() => new CustomResolverStrategy(5 as never))).toBe('CONFLICT_STRATEGY_MISSING');
  });
});
