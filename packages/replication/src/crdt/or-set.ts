/**
 * A set from which elements can be removed: a removal takes away the additions that its author had seen, and one that
 * happens at the same time elsewhere wins. Elements are what JSON can carry.
 */
import { jsonKey, valueOfKey } from '../values/canonical.ts';
import type { CausalContextState } from './causal-context.ts';
import { Crdt, checkOwner, requireOwner } from './crdt.ts';
import { DottedMap, type DottedState } from './dotted-map.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'ORSet';
const READER = new StateReader(KIND);

export interface ORSetState<T> {
  readonly elements: DottedState<T>;
  readonly context: CausalContextState;
}

export class ORSet<T = unknown> extends Crdt<ORSet<T>> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  #map = new DottedMap<T>();

  /** `nodeId` signs additions, and must be in use nowhere else; without one the set can be read, merged and removed from. */
  constructor(nodeId?: string) {
    super();
    this.#node = checkOwner(KIND, nodeId);
  }

  /** Give `nodeId` to go on adding. Throws CRDT_STATE_INVALID when `json` is no such set. */
  static fromJSON<T = unknown>(json: unknown, nodeId?: string): ORSet<T> {
    const { elements, context } = READER.record(json, 'the state');
    const keyOf = (value: unknown): string => READER.element(value, 'an element');
    return ORSet.#of(DottedMap.fromJSON<T>(elements, context, keyOf, READER), nodeId);
  }

  /** Returns the delta. Throws REPLICATED_VALUE_INVALID for what JSON can't carry, CRDT_NODE_UNKNOWN without a node id. */
  add(element: T): ORSet<T> {
    return ORSet.#of(this.#map.put(KIND, requireOwner(KIND, this.#node), jsonKey(element), element));
  }

  /** Returns the delta, which is empty when the element is not there. */
  remove(element: T): ORSet<T> {
    return ORSet.#of(this.#map.remove(jsonKey(element)));
  }

  has(element: T): boolean {
    return this.#map.has(jsonKey(element));
  }

  size(): number {
    return this.#map.size;
  }

  /** In the order in which this replica got them; `toJSON` has one order for all. */
  elements(): T[] {
    return this.#map.values();
  }

  copy(): ORSet<T> {
    return ORSet.#of(this.#map.copy(), this.#node);
  }

  toJSON(): ORSetState<T> {
    return { elements: this.#map.entries(valueOfKey), context: this.#map.context() };
  }

  protected override join(other: ORSet<T>): void {
    this.#map.join(other.#map);
  }

  static #of<T>(map: DottedMap<T>, nodeId?: string): ORSet<T> {
    const set = new ORSet<T>(nodeId);
    set.#map = map;
    return set;
  }
}
