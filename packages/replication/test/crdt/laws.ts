/**
 * The laws of mergeable values, checked on histories of three replicas that change and merge at random. Each law has a name, and
 * what breaks it is reported by that name.
 */
import fc from 'fast-check';
import { expect } from 'vitest';

export interface Replica<Self> {
  merge(other: Self): void;
  mergedWith(other: Self): Self;
  copy(): Self;
  toJSON(): unknown;
}

export interface Subject<C extends Replica<C>, Op> {
  make(node: string): C;
  readonly op: fc.Arbitrary<Op>;
  /** Changes the replica and returns the delta. */
  apply(replica: C, op: Op): C;
  /** From JSON; left out for subjects that have none. */
  read?(json: unknown): C;
}

const NODES = ['a', 'b', 'c'] as const;
const text = (state: unknown): string => JSON.stringify(state);

/** Throws, with the shortest history found, when a law does not hold. */
export function checkLaws<C extends Replica<C>, Op>(subject: Subject<C, Op>, { runs = 150 } = {}): void {
  const index = fc.nat(2);
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ at: index, op: subject.op }) },
    { weight: 1, arbitrary: fc.record({ at: index, from: index }) },
  );
  const history = fc.array(step as fc.Arbitrary<{ at: number; op?: Op; from?: number }>, { maxLength: 14 });
  fc.assert(
    fc.property(history, fc.nat(), (steps, seed) => {
      const replicas = NODES.map((node) => subject.make(node));
      const deltas: C[] = [];
      for (const each of steps) {
        const replica = replicas[each.at] as C;
        if ('op' in each) deltas.push(change(subject, replica, each.op as Op));
        else replica.merge(replicas[each.from as number] as C);
      }
      checkMerges(replicas);
      const all = replicas.reduce((merged, replica) => merged.mergedWith(replica));
      checkDeltas(subject, all, deltas, seed);
      if (subject.read !== undefined)
        for (const replica of replicas)
          expect(text(subject.read(JSON.parse(text(replica)))), 'survives JSON').toBe(text(replica));
    }),
    { numRuns: runs, includeErrorInReport: true },
  );
}

function change<C extends Replica<C>, Op>(subject: Subject<C, Op>, replica: C, op: Op): C {
  const before = replica.copy();
  const delta = subject.apply(replica, op);
  expect(text(before.mergedWith(replica)), 'monotone').toBe(text(replica));
  expect(text(before.mergedWith(delta)), 'the delta equals the state').toBe(text(replica));
  return delta;
}

function checkMerges<C extends Replica<C>>(replicas: readonly C[]): void {
  const [a, b, c] = replicas as [C, C, C];
  const before = replicas.map(text);
  const ab = a.mergedWith(b);
  expect(text(ab), 'commutative').toBe(text(b.mergedWith(a)));
  expect(text(ab.mergedWith(c)), 'associative').toBe(text(a.mergedWith(b.mergedWith(c))));
  expect(text(a.mergedWith(a)), 'idempotent').toBe(text(a));
  expect(text(ab.mergedWith(b)), 'idempotent').toBe(text(ab));
  expect(text(a.mergedWith(ab)), 'monotone').toBe(text(ab));
  expect(replicas.map(text), 'pure').toEqual(before);
  const inPlace = a.copy();
  inPlace.merge(b);
  expect(text(inPlace), 'merge() does as mergedWith()').toBe(text(ab));
  expect(replicas.map(text), 'pure').toEqual(before);
}

/** Some more than once, in any order, into a replica that has seen nothing. */
function checkDeltas<C extends Replica<C>, Op>(
  subject: Subject<C, Op>,
  all: C,
  deltas: readonly C[],
  seed: number,
): void {
  const order = [...deltas, ...deltas.filter((_, i) => (seed >> (i % 16)) % 2 === 0)]
    .map((delta, i) => [((i + 1) * 2_654_435_761 * (seed + 1)) % 4_294_967_296, delta] as const)
    .sort(([x], [y]) => x - y);
  const reader = subject.make('reader');
  for (const [, delta] of order) reader.merge(delta);
  expect(text(reader), 'deltas in any order equal the states').toBe(text(all));
}
