import { describe, expect, it } from 'vitest';
import {
  EnableWinsFlag,
  GCounter,
  GSet,
  isMergeable,
  LWWMap,
  LWWRegister,
  MVRegister,
  ORSet,
  PNCounter,
} from '../../src/index.ts';
import { codeOf } from '../code-of.ts';

const overWire = <T>(state: T): T => JSON.parse(JSON.stringify(state)) as T;

describe('GCounter', () => {
  it('counts as the guide shows', () => {
    const counterA = new GCounter('node-a');
    counterA.increment(5);
    const counterB = new GCounter('node-b');
    counterB.increment(3);
    counterA.merge(counterB);
    expect([counterA.value(), counterB.value(), counterA.toJSON()]).toEqual([8, 3, { 'node-a': 5, 'node-b': 3 }]);
    expect(GCounter.fromJSON(overWire(counterA.toJSON())).value()).toBe(8);
  });

  it('credits what is counted after a restore to the node that is named, and refuses to guess it', () => {
    const shared = { 'node-a': 5, 'node-b': 3 };
    const [a, b] = [GCounter.fromJSON(shared, 'node-a'), GCounter.fromJSON(shared, 'node-b')];
    a.increment();
    b.increment();
    expect(a.mergedWith(b).value()).toBe(10);
    expect(codeOf(() => GCounter.fromJSON(shared).increment())).toBe('CRDT_NODE_UNKNOWN');
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1'])('does not grow by %j', (by) => {
    const counter = new GCounter('a');
    expect(codeOf(() => counter.increment(by as number))).toBe('CRDT_INPUT_INVALID');
    expect(counter.toJSON()).toEqual({});
  });

  it('stops at 2^53-1 for a node, and sums beyond it the same way in any order', () => {
    const counter = new GCounter('a');
    counter.increment(Number.MAX_SAFE_INTEGER);
    expect(codeOf(() => counter.increment())).toBe('CRDT_INPUT_INVALID');
    expect(counter.increment(0).toJSON()).toEqual({});
    const counts = { b: Number.MAX_SAFE_INTEGER, c: 1, d: 1 };
    expect(GCounter.fromJSON(counts).value()).toBe(2 ** 53);
    expect(GCounter.fromJSON({ c: 1, d: 1, b: Number.MAX_SAFE_INTEGER }).value()).toBe(2 ** 53);
  });

  it('has no prototype to be poisoned', () => {
    const counter = GCounter.fromJSON(JSON.parse('{"__proto__":4,"toString":1}'));
    expect([counter.value(), JSON.stringify(counter)]).toEqual([5, '{"__proto__":4,"toString":1}']);
  });
});

it('PNCounter goes both ways, below 0 too', () => {
  const counter = new PNCounter('node-a');
  counter.increment(10);
  counter.decrement(3);
  const remote = new PNCounter('node-b');
  remote.increment(5);
  remote.decrement(2);
  counter.merge(remote);
  expect(counter.value()).toBe(10);
  counter.decrement(25);
  expect(counter.value()).toBe(-15);
  expect(counter.toJSON()).toEqual({
    positive: { 'node-a': 10, 'node-b': 5 },
    negative: { 'node-a': 28, 'node-b': 2 },
  });
  expect(codeOf(() => counter.decrement(-1))).toBe('CRDT_INPUT_INVALID');
  expect(codeOf(() => PNCounter.fromJSON(counter.toJSON()).decrement())).toBe('CRDT_NODE_UNKNOWN');
});

describe('GSet', () => {
  it('is a union', () => {
    const setA = new GSet<string>();
    setA.add('apple');
    setA.add('banana');
    const setB = new GSet<string>();
    setB.add('banana');
    setB.add('cherry');
    setA.merge(setB);
    expect([setA.elements(), setA.size(), setA.has('cherry')]).toEqual([['apple', 'banana', 'cherry'], 3, true]);
  });

  it('tells 1 from "1" and not the order of properties', () => {
    const set = new GSet<unknown>();
    for (const element of [1, '1', 'null', null, { a: 1, b: 2 }, { b: 2, a: 1 }, [1, 2], [2, 1], '[1,2]'])
      set.add(element);
    expect(set.size()).toBe(8);
    expect(set.has({ b: 2, a: 1 })).toBe(true);
    expect(GSet.fromJSON(overWire(set.toJSON())).toJSON()).toEqual(set.toJSON());
  });

  it('has one JSON whatever the order of arrival', () => {
    const [a, b] = [GSet.fromJSON(['z', 1, { y: 1, x: 2 }]), GSet.fromJSON([{ x: 2, y: 1 }, 'z', 1])];
    expect(JSON.stringify(a)).toBe(JSON.stringify(b));
  });

  it.each([
    [undefined],
    [Number.NaN],
    [new Date(0)],
    [() => 1],
    [Symbol('s')],
    [1n],
    [new Map()],
    [{ a: { b: undefined, c: 1n } }],
  ])('refuses %s, which another replica would get as something else', (element) => {
    expect(codeOf(() => new GSet<unknown>().add(element))).toBe('REPLICATED_VALUE_INVALID');
  });

  it('refuses what contains itself, and what is nested without end', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(codeOf(() => new GSet<unknown>().add(cycle))).toBe('REPLICATED_VALUE_INVALID');
    const deep = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`);
    expect(codeOf(() => GSet.fromJSON([deep]))).toBe('CRDT_STATE_INVALID');
  });
});

describe('LWWRegister', () => {
  const at = (wall: number) => ({ wall: () => wall });

  it('keeps the last write, and the greater node id on a tie', () => {
    const regA = new LWWRegister<string>('node-a');
    regA.set('value-1', 1000);
    const regB = new LWWRegister<string>('node-b');
    regB.set('value-2', 2000);
    regA.merge(regB);
    expect([regA.get(), regA.timestamp(), regA.nodeId()]).toEqual(['value-2', 2000, 'node-b']);
    expect(regB.toJSON()).toEqual({ value: 'value-2', timestamp: 2000, nodeId: 'node-b' });
    const [ten, nine] = [new LWWRegister('10'), new LWWRegister('9')];
    ten.set('x', 5);
    nine.set('y', 5);
    expect([ten.mergedWith(nine).get(), nine.mergedWith(ten).get()]).toEqual(['y', 'y']);
  });

  it('ignores an older write, takes one of the same time, and others see that it came later', () => {
    const register = new LWWRegister<string>('a');
    const first = register.set('zebra', 10);
    register.set('old', 9);
    expect(register.get()).toBe('zebra');
    register.set('ant', 10);
    expect([register.get(), register.timestamp()]).toEqual(['ant', 10]);
    expect(first.mergedWith(register).get()).toBe('ant');
    expect(register.mergedWith(first).get()).toBe('ant');
    expect(LWWRegister.fromJSON(overWire(register.toJSON())).mergedWith(first).get()).toBe('ant');
  });

  it('signs with its own id after it took over the value of another', () => {
    const register = new LWWRegister<string>('a', at(7));
    register.merge(LWWRegister.fromJSON({ value: 'theirs', timestamp: 5, nodeId: 'z' }));
    expect(register.nodeId()).toBe('z');
    register.set('mine');
    expect([register.nodeId(), register.timestamp()]).toEqual(['a', 7]);
  });

  it('takes a write without a time also when the present value is from the future', () => {
    const register = LWWRegister.fromJSON<string>({ value: 'future', timestamp: 1e12, nodeId: 'z' }, 'a', at(7));
    const seen = register.copy();
    register.set('now');
    expect([register.get(), register.timestamp()]).toEqual(['now', 1e12]);
    expect(seen.mergedWith(register).get()).toBe('now');
  });

  it('goes on after the greatest counter that the wire can bring', () => {
    const register = LWWRegister.fromJSON({ value: 1, timestamp: 5, counter: 2 ** 32 - 1, nodeId: 'z' }, 'a', at(5));
    register.set(2);
    expect(register.toJSON()).toEqual({ value: 2, timestamp: 6, nodeId: 'a' });
  });

  it('unset: empty for everybody, and nothing for a merge', () => {
    const register = new LWWRegister('a');
    expect([register.get(), register.timestamp(), register.nodeId()]).toEqual([undefined, 0, 'a']);
    expect(LWWRegister.fromJSON(overWire(register.toJSON())).get()).toBeUndefined();
    const set = new LWWRegister('b');
    set.set(null, -5);
    expect(set.mergedWith(register).get()).toBeNull();
    expect(register.mergedWith(set).get()).toBeNull();
    expect(codeOf(() => set.set(undefined))).toBe('CRDT_INPUT_INVALID');
    for (const time of [Number.NaN, Number.POSITIVE_INFINITY, 9e15])
      expect(codeOf(() => set.set(1, time))).toBe('CRDT_INPUT_INVALID');
  });
});

describe('LWWMap', () => {
  it('is a register per key, with deletions that hold against older writes', () => {
    const [a, b] = [new LWWMap<number>('a'), new LWWMap<number>('b')];
    a.set('x', 1, 10);
    a.set('y', 1, 10);
    b.merge(a);
    b.delete('x', 20);
    a.set('x', 2, 15);
    const merged = a.mergedWith(b);
    expect([merged.entries(), merged.keys(), merged.size(), merged.has('x'), merged.get('y')]).toEqual([
      [['y', 1]],
      ['y'],
      1,
      false,
      1,
    ]);
    expect(merged.toJSON()).toEqual({
      x: { deleted: true, timestamp: 20, nodeId: 'b' },
      y: { value: 1, timestamp: 10, nodeId: 'a' },
    });
  });

  it('counts keys through deletions and writes that bring them back', () => {
    const map = new LWWMap<number>('a');
    map.delete('x', 1);
    map.delete('x', 2);
    expect(map.size()).toBe(0);
    map.set('x', 1, 3);
    map.set('x', 2, 4);
    expect([map.size(), map.get('x'), map.forgetDeleted(9)]).toEqual([1, 2, 0]);
  });

  it('forgets old deletions on request, and only them', () => {
    const map = new LWWMap<number>('a');
    map.set('x', 1, 1);
    map.delete('gone', 5);
    map.delete('late', 9);
    expect([map.forgetDeleted(9), Object.keys(map.toJSON()), map.size()]).toEqual([1, ['late', 'x'], 1]);
  });

  it('keeps keys like __proto__ as keys', () => {
    const map = LWWMap.fromJSON<number>(JSON.parse('{"__proto__":{"value":1,"timestamp":1,"nodeId":"a"}}'));
    expect([map.get('__proto__'), map.has('toString'), map.size()]).toEqual([1, false, 1]);
  });
});

describe('what is observed is removed, and no more', () => {
  it('ORSet: an addition at the same time stays', () => {
    const a = new ORSet<string>('a');
    a.add('milk');
    const b = a.copy();
    const c = ORSet.fromJSON<string>(overWire(a.toJSON()), 'c');
    b.remove('milk');
    c.add('milk');
    expect(b.mergedWith(c).elements()).toEqual(['milk']);
    expect(b.mergedWith(a).elements()).toEqual([]);
    expect(a.mergedWith(b).has('milk')).toBe(false);
  });

  it('ORSet: what was removed leaves nothing but numbers behind', () => {
    const set = new ORSet<number>('a');
    for (let i = 0; i < 1000; i++) set.add(i);
    for (let i = 0; i < 1000; i++) set.remove(i);
    expect(JSON.stringify(set)).toBe('{"elements":[],"context":{"seen":{"a":1000}}}');
  });

  it('ORSet: keeps the same one of two elements when two nodes share an id by mistake', () => {
    const [a, b] = [new ORSet<string>('same'), new ORSet<string>('same')];
    a.add('x');
    b.add('y');
    expect(JSON.stringify(a.mergedWith(b))).toBe(JSON.stringify(b.mergedWith(a)));
  });

  it('MVRegister: keeps concurrent values until somebody who saw both writes', () => {
    const [a, b] = [new MVRegister<string>('a'), new MVRegister<string>('b')];
    a.set('one');
    b.set('two');
    a.merge(b);
    expect(a.values()).toEqual(['one', 'two']);
    a.set('both');
    b.merge(a);
    expect(b.values()).toEqual(['both']);
  });

  it('EnableWinsFlag: on wins over an off that had not seen it', () => {
    const a = new EnableWinsFlag('a');
    expect(a.value()).toBe(false);
    a.enable();
    const b = EnableWinsFlag.fromJSON(overWire(a.toJSON()), 'b');
    b.disable();
    expect([a.mergedWith(b).value(), b.value()]).toEqual([false, false]);
    a.enable();
    expect(a.mergedWith(b).value()).toBe(true);
  });
});

describe('hostile JSON is refused by name', () => {
  const dots = (elements: unknown, context: unknown = { seen: { a: 9 } }) => ({ elements, context });
  it.each<[string, (json: unknown) => unknown, unknown[]]>([
    ['GCounter', GCounter.fromJSON, [null, [], 'x', 3, { a: -1 }, { a: 0.5 }, { a: '1' }, { a: 2 ** 53 }, { '': 1 }]],
    ['PNCounter', PNCounter.fromJSON, [null, {}, { positive: {} }, { positive: { a: -1 }, negative: {} }]],
    ['GSet', GSet.fromJSON, [null, {}, 'abc', [undefined], [Number.NaN]]],
    [
      'LWWRegister',
      LWWRegister.fromJSON,
      [
        null,
        {},
        { value: 1 },
        { value: 1, timestamp: 'x', nodeId: 'a' },
        { value: 1, timestamp: 1e300, nodeId: 'a' },
      ].concat([
        { value: 1, timestamp: 1, nodeId: '' },
        { value: 1, timestamp: 1, nodeId: 'a', counter: -1 },
        { timestamp: 3, nodeId: 'a' },
      ] as never),
    ],
    ['LWWMap', LWWMap.fromJSON, [null, [], { x: 1 }, { x: {} }, { x: { value: 1, timestamp: null, nodeId: 'a' } }]],
    [
      'ORSet',
      ORSet.fromJSON,
      [
        null,
        {},
        dots({}),
        dots([['x']]),
        dots([['x', [['a', 0]]]]),
        dots([['x', [['a', 10]]]]),
        dots([
          ['x', [['a', 1]]],
          ['y', [['a', 1]]],
        ]),
        dots([], { seen: { a: -1 } }),
        dots([], { seen: {}, apart: { a: [0] } }),
      ],
    ],
    ['MVRegister', MVRegister.fromJSON, [null, { values: [[1]], context: {} }]],
    ['EnableWinsFlag', EnableWinsFlag.fromJSON, [null, { enabled: [['a', 1]], context: { seen: {} } }]],
  ])('%s', (_kind, read, states) => {
    for (const state of states)
      expect(
        codeOf(() => read(state)),
        JSON.stringify(state),
      ).toBe('CRDT_STATE_INVALID');
  });

  it('an element without dots is no element', () => {
    expect(ORSet.fromJSON(dots([['x', []]])).has('x')).toBe(false);
  });
});

it('only values of one type merge', () => {
  expect(isMergeable(new GSet())).toBe(true);
  expect(isMergeable({ mergedWith() {} })).toBe(false);
  expect(codeOf(() => new GCounter('a').merge(new PNCounter('b') as never))).toBe('CRDT_KIND_MISMATCH');
  expect(codeOf(() => new GSet().mergedWith(null as never))).toBe('CRDT_KIND_MISMATCH');
  for (const nodeId of ['', 'n'.repeat(257), 5])
    expect(codeOf(() => new ORSet(nodeId as string))).toBe('CRDT_INPUT_INVALID');
});
