/** Whether a strategy gives the same result for the same entries in whatever order they arrive. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { type ConflictEntry, ConflictResolver, type ConflictResult, type ResolutionStrategy } from '../../src/index.ts';

export interface OrderChecks {
  /** Also two at a time, in every order and in pairs of pairs, as replicas do that hear of versions one by one. */
  readonly oneByOne?: boolean;
  readonly runs?: number;
}

/** Entries that collide in everything: time, counter, node and value. */
export function entriesOf<V>(value: fc.Arbitrary<V>): fc.Arbitrary<ConflictEntry<V>[]> {
  const entry = fc.record({
    value,
    timestamp: fc.nat(2),
    nodeId: fc.constantFrom('10', '9', 'b'),
    counter: fc.constantFrom(undefined, 0, 1),
  });
  return fc.array(entry, { minLength: 2, maxLength: 4 });
}

/** Throws with the fewest entries found whose order makes a difference. */
export function checkOrders<V>(
  strategy: ResolutionStrategy<V>,
  entries: fc.Arbitrary<ConflictEntry<V>[]>,
  { oneByOne = false, runs = 150 }: OrderChecks = {},
): void {
  const resolver = new ConflictResolver(strategy);
  const two = (a: ConflictEntry<V>, b: ConflictEntry<V>): ConflictResult<V> => resolver.resolve(a, b);
  fc.assert(
    fc.property(entries, (given) => {
      const before = JSON.stringify(given);
      const [a, b] = given as [ConflictEntry<V>, ConflictEntry<V>];
      expect(text(two(a, b)), 'the two exchanged').toBe(text(two(b, a)));
      const expected = text(resolver.resolveMultiple(given));
      const orders = permutations(given);
      for (const order of orders) expect(text(resolver.resolveMultiple(order)), 'all at once').toBe(expected);
      if (oneByOne)
        for (const order of orders) {
          expect(text(order.reduce<ConflictEntry<V>>(two, order[0] as ConflictEntry<V>)), 'one by one').toBe(expected);
          const [w, x = w, y = w, z = y] = order as [ConflictEntry<V>, ...ConflictEntry<V>[]];
          expect(text(two(two(w, x), two(y, z))), 'in pairs').toBe(expected);
        }
      expect(JSON.stringify(given), 'the entries are as they were').toBe(before);
    }),
    { numRuns: runs, includeErrorInReport: true },
  );
}

/** All that replicas keep of a result. Which side it came from is each one's own view. */
function text({ value, timestamp, counter, nodeId, vectorClock, fieldClocks }: ConflictEntry): string {
  return JSON.stringify({ value, timestamp, counter: counter ?? 0, nodeId, vectorClock, fieldClocks });
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
