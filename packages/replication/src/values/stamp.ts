/**
 * When a value was written, by whom. Time, then the counter, then the node id by UTF-16 code units ("10" before "9"), then the
 * value itself: a total order, so "the last one" is the same on every node, whatever the order of arrival.
 */
import { canonicalText } from './canonical.ts';

export interface Stamp {
  /** Milliseconds; of a `HybridClock`, its `wallMs`. */
  readonly timestamp: number;
  /** Orders writes of one millisecond; of a `HybridClock`, its counter. Default 0. */
  readonly counter?: number | undefined;
  readonly nodeId: string;
}

/** Positive when `a` is later, negative when `b` is, 0 when they can't be told apart by time, counter and node. */
export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1;
  const difference = (a.counter ?? 0) - (b.counter ?? 0);
  if (difference !== 0) return difference;
  return a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0;
}

/** As `compareStamps`; between equal stamps the value with the greater canonical text is the later one. */
export function compareStamped(
  a: Stamp & { readonly value?: unknown },
  b: Stamp & { readonly value?: unknown },
): number {
  return compareStamps(a, b) || compareValues(a.value, b.value);
}

export function compareValues(a: unknown, b: unknown): number {
  if (Object.is(a, b)) return 0;
  const [mine, theirs] = [canonicalText(a), canonicalText(b)];
  return mine < theirs ? -1 : mine > theirs ? 1 : 0;
}
