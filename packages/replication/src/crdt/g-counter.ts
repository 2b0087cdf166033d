/** A counter that only grows: one count per node, merged by the greater. Counts are whole numbers, so sums are exact. */
import { Crdt, checkOwner, inputInvalid, requireOwner } from './crdt.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'GCounter';
const READER = new StateReader(KIND);

/** Node id → what that node has counted. */
export type GCounterState = Record<string, number>;

export class GCounter extends Crdt<GCounter> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  readonly #counts = new Map<string, number>();

  /**
   * `nodeId` is credited with what is counted here, and must be counting nowhere else at the same time. Without one the
   * counter can be read and merged, not incremented.
   */
  constructor(nodeId?: string) {
    super();
    this.#node = checkOwner(KIND, nodeId);
  }

  /** Give `nodeId` to go on counting. Throws CRDT_STATE_INVALID when `json` is no counter. */
  static fromJSON(json: unknown, nodeId?: string): GCounter {
    const counter = new GCounter(nodeId);
    for (const [node, count] of READER.counts(json, 'the count')) counter.#counts.set(node, count);
    return counter;
  }

  /**
   * Adds a whole number from 0 and returns the delta. Throws CRDT_INPUT_INVALID for other numbers and past 2^53-1 of one node,
   * CRDT_NODE_UNKNOWN without a node id.
   */
  increment(by = 1): GCounter {
    const node = requireOwner(KIND, this.#node);
    if (!Number.isSafeInteger(by) || by < 0)
      throw inputInvalid(KIND, `it can not be incremented by ${by}; negative or fractional amounts do not merge`);
    const count = (this.#counts.get(node) ?? 0) + by;
    if (!Number.isSafeInteger(count)) throw inputInvalid(KIND, `the count of ${node} would exceed 2^53-1`);
    const delta = new GCounter();
    if (by > 0) {
      this.#counts.set(node, count);
      delta.#counts.set(node, count);
    }
    return delta;
  }

  /** The sum over all nodes; exact below 2^53, and rounded the same way everywhere beyond. */
  value(): number {
    return Number(this.total());
  }

  /** The sum, exact at any size. */
  total(): number | bigint {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    if (Number.isSafeInteger(sum)) return sum;
    let exact = 0n;
    for (const count of this.#counts.values()) exact += BigInt(count);
    return exact;
  }

  copy(): GCounter {
    const copied = new GCounter(this.#node);
    copied.join(this);
    return copied;
  }

  /** Sorted by node id. */
  toJSON(): GCounterState {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  protected override join(other: GCounter): void {
    for (const [node, count] of other.#counts) if (count > (this.#counts.get(node) ?? 0)) this.#counts.set(node, count);
  }
}
