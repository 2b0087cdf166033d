import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EnableWinsFlag, GCounter, GSet, LWWMap, LWWRegister, MVRegister, ORSet, PNCounter } from '../../src/index.ts';
import { checkLaws, type Replica } from './laws.ts';

const clock = { wall: () => 1 };
const value = fc.constantFrom<unknown>(
  1,
  '1',
  true,
  null,
  { a: 1, b: [2] },
  { b: [2], a: 1 },
  ['x'],
  0,
  -0,
  '__proto__',
);
const key = fc.constantFrom('x', 'y', '__proto__');
const when = fc.constantFrom<number | undefined>(undefined, 0, 1, 2, 3);

describe('the laws hold for', () => {
  it('GCounter', () =>
    checkLaws<GCounter, number>({
      make: (node) => new GCounter(node),
      op: fc.nat(4),
      apply: (counter, by) => counter.increment(by),
      read: (json) => GCounter.fromJSON(json),
    }));
  it('PNCounter', () =>
    checkLaws<PNCounter, number>({
      make: (node) => new PNCounter(node),
      op: fc.integer({ min: -4, max: 4 }),
      apply: (counter, by) => (by < 0 ? counter.decrement(-by) : counter.increment(by)),
      read: (json) => PNCounter.fromJSON(json),
    }));
  it('GSet', () =>
    checkLaws<GSet, unknown>({
      make: () => new GSet(),
      op: value,
      apply: (set, element) => set.add(element),
      read: (json) => GSet.fromJSON(json),
    }));
  it('LWWRegister', () =>
    checkLaws<LWWRegister, [unknown, number | undefined]>({
      make: (node) => new LWWRegister(node, clock),
      op: fc.tuple(value, when),
      apply: (register, [written, at]) => register.set(written, at),
      read: (json) => LWWRegister.fromJSON(json),
    }));
  it('LWWMap', () =>
    checkLaws<LWWMap, [string, unknown, number | undefined]>({
      make: (node) => new LWWMap(node, clock),
      op: fc.tuple(key, fc.option(value, { nil: undefined }), when),
      apply: (map, [name, written, at]) => (written === undefined ? map.delete(name, at) : map.set(name, written, at)),
      read: (json) => LWWMap.fromJSON(json),
    }));
  it('ORSet', () =>
    checkLaws<ORSet, [boolean, unknown]>({
      make: (node) => new ORSet(node),
      op: fc.tuple(fc.boolean(), value),
      apply: (set, [add, element]) => (add ? set.add(element) : set.remove(element)),
      read: (json) => ORSet.fromJSON(json),
    }));
  it('MVRegister', () =>
    checkLaws<MVRegister, unknown>({
      make: (node) => new MVRegister(node),
      op: value,
      apply: (register, written) => register.set(written),
      read: (json) => MVRegister.fromJSON(json),
    }));
  it('EnableWinsFlag', () =>
    checkLaws<EnableWinsFlag, boolean>({
      make: (node) => new EnableWinsFlag(node),
      op: fc.boolean(),
      apply: (flag, on) => (on ? flag.enable() : flag.disable()),
      read: (json) => EnableWinsFlag.fromJSON(json),
    }));
});

/** A counter by node, with one thing to do wrong. */
class Tally implements Replica<Tally> {
  readonly node: string;
  counts: Record<string, number> = {};
  readonly mistake: Mistake;

  constructor(node: string, mistake: Mistake) {
    this.node = node;
    this.mistake = mistake;
  }

  change(by: number): Tally {
    const delta = new Tally(this.node, this.mistake);
    this.counts[this.node] = (this.counts[this.node] ?? 0) + by;
    delta.counts[this.node] = this.mistake === 'delta is the amount' ? by : (this.counts[this.node] as number);
    return delta;
  }

  merge(other: Tally): void {
    for (const [node, theirs] of Object.entries(other.counts)) {
      const mine = this.counts[node];
      if (this.mistake === 'adds up') this.counts[node] = (mine ?? 0) + theirs;
      else if (this.mistake === 'the other wins') this.counts[node] = theirs;
      else if (this.mistake === 'averages') this.counts[node] = Math.ceil(((mine ?? theirs) + theirs) / 2);
      else if (this.mistake === 'the first stays') this.counts[node] = mine ?? theirs;
      else this.counts[node] = Math.max(mine ?? 0, theirs);
    }
    if (this.mistake === 'changes the other') Object.assign(other.counts, this.counts);
  }

  mergedWith(other: Tally): Tally {
    const merged = this.copy();
    merged.merge(other);
    return merged;
  }

  copy(): Tally {
    const copied = new Tally(this.node, this.mistake);
    copied.counts = { ...this.counts };
    return copied;
  }

  toJSON(): unknown {
    return Object.entries(this.counts).sort();
  }
}

type Mistake =
  | 'none'
  | 'adds up'
  | 'the other wins'
  | 'the first stays'
  | 'changes the other'
  | 'averages'
  | 'counts down'
  | 'delta is the amount';

const tally = (mistake: Mistake) => () =>
  checkLaws<Tally, number>({
    make: (node) => new Tally(node, mistake),
    op: mistake === 'counts down' ? fc.integer({ min: -3, max: 3 }) : fc.nat({ max: 3 }).map((n) => n + 1),
    apply: (replica, by) => replica.change(by),
  });

/** A register as the public one is: on a tie the other side's value wins. */
class RemoteWins implements Replica<RemoteWins> {
  at = 0;
  value: unknown = null;

  set(value: unknown, at: number): RemoteWins {
    if (at >= this.at) Object.assign(this, { value, at });
    return this.copy();
  }

  merge(other: RemoteWins): void {
    if (other.at >= this.at) Object.assign(this, { value: other.value, at: other.at });
  }

  mergedWith(other: RemoteWins): RemoteWins {
    const merged = this.copy();
    merged.merge(other);
    return merged;
  }

  copy(): RemoteWins {
    return Object.assign(new RemoteWins(), { value: this.value, at: this.at });
  }

  toJSON(): unknown {
    return [this.value, this.at];
  }
}

/** A set that forgets what it removes. */
class Forgetful implements Replica<Forgetful> {
  readonly elements = new Set<string>();

  merge(other: Forgetful): void {
    for (const element of other.elements) this.elements.add(element);
  }

  mergedWith(other: Forgetful): Forgetful {
    const merged = this.copy();
    merged.merge(other);
    return merged;
  }

  copy(): Forgetful {
    const copied = new Forgetful();
    copied.merge(this);
    return copied;
  }

  toJSON(): unknown {
    return [...this.elements].sort();
  }
}

describe('the same check catches planted mistakes', () => {
  it('and passes the counter without one', tally('none'));

  it.each<[Mistake, RegExp]>([
    ['adds up', /monotone|delta|idempotent/],
    ['the other wins', /commutative|deltas in any order/],
    ['the first stays', /monotone|delta/],
    ['changes the other', /pure/],
    ['averages', /delta|monotone|associative/],
    ['counts down', /monotone|delta/],
    ['delta is the amount', /delta/],
  ])('a merge that %s', (mistake, law) => {
    expect(tally(mistake)).toThrow(law);
  });

  it('a tie that goes to the remote value', () => {
    const broken = () =>
      checkLaws<RemoteWins, [unknown, number]>({
        make: () => new RemoteWins(),
        op: fc.tuple(fc.nat(3), fc.nat(2)),
        apply: (register, [written, at]) => register.set(written, at),
      });
    expect(broken).toThrow(/commutative|deltas in any order/);
  });

  it('a removal that leaves no trace', () => {
    const broken = () =>
      checkLaws<Forgetful, [boolean, string]>({
        make: () => new Forgetful(),
        op: fc.tuple(fc.boolean(), key),
        apply: (set, [add, element]) => {
          if (add) set.elements.add(element);
          else set.elements.delete(element);
          return set.copy();
        },
      });
    expect(broken).toThrow(/monotone|delta/);
  });
});
