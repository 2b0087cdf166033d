/** A counter that goes both ways: what was added and what was taken away, each a counter that only grows. */
import { Crdt, checkOwner, requireOwner } from './crdt.ts';
import { GCounter, type GCounterState } from './g-counter.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'PNCounter';
const READER = new StateReader(KIND);

export interface PNCounterState {
  readonly positive: GCounterState;
  readonly negative: GCounterState;
}

export class PNCounter extends Crdt<PNCounter> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  #positive: GCounter;
  #negative: GCounter;

  /** As for GCounter: without `nodeId` it can be read and merged, not changed. */
  constructor(nodeId?: string) {
    super();
    this.#node = checkOwner(KIND, nodeId);
    this.#positive = new GCounter(nodeId);
    this.#negative = new GCounter(nodeId);
  }

  /** Give `nodeId` to go on counting. Throws CRDT_STATE_INVALID when `json` is no counter. */
  static fromJSON(json: unknown, nodeId?: string): PNCounter {
    const { positive, negative } = READER.record(json, 'the state');
    return PNCounter.#of(GCounter.fromJSON(positive, nodeId), GCounter.fromJSON(negative, nodeId), nodeId);
  }

  /** Adds a whole number from 0 and returns the delta; errors as GCounter's `increment`. */
  increment(by = 1): PNCounter {
    requireOwner(KIND, this.#node);
    return PNCounter.#of(this.#positive.increment(by), new GCounter());
  }

  /** Takes away a whole number from 0 and returns the delta; errors as GCounter's `increment`. */
  decrement(by = 1): PNCounter {
    requireOwner(KIND, this.#node);
    return PNCounter.#of(new GCounter(), this.#negative.increment(by));
  }

  /** May be negative; exact within 2^53, and rounded the same way everywhere beyond. */
  value(): number {
    const [added, taken] = [this.#positive.total(), this.#negative.total()];
    if (typeof added === 'number' && typeof taken === 'number') return added - taken;
    return Number(BigInt(added) - BigInt(taken));
  }

  copy(): PNCounter {
    return PNCounter.#of(this.#positive.copy(), this.#negative.copy(), this.#node);
  }

  toJSON(): PNCounterState {
    return { positive: this.#positive.toJSON(), negative: this.#negative.toJSON() };
  }

  protected override join(other: PNCounter): void {
    this.#positive.merge(other.#positive);
    this.#negative.merge(other.#negative);
  }

  static #of(positive: GCounter, negative: GCounter, nodeId?: string): PNCounter {
    const counter = new PNCounter(nodeId);
    counter.#positive = positive;
    counter.#negative = negative;
    return counter;
  }
}
