/** A set that only grows: merging is union. Elements are what JSON can carry; `1` and `"1"` are two of them. */
import { jsonKey, valueOfKey } from '../values/canonical.ts';
import { Crdt } from './crdt.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'GSet';
const READER = new StateReader(KIND);

export class GSet<T = unknown> extends Crdt<GSet<T>> {
  readonly [MERGEABLE] = KIND;
  readonly #elements = new Map<string, T>();

  /** Throws CRDT_STATE_INVALID when `json` is no list of elements. */
  static fromJSON<T = unknown>(json: unknown): GSet<T> {
    const set = new GSet<T>();
    for (const element of READER.list(json, 'the state'))
      set.#elements.set(READER.element(element, 'an element'), element as T);
    return set;
  }

  /** Returns the delta. Throws REPLICATED_VALUE_INVALID for what JSON can't carry. The element must not be changed later. */
  add(element: T): GSet<T> {
    const key = jsonKey(element);
    const delta = new GSet<T>();
    delta.#elements.set(key, element);
    if (!this.#elements.has(key)) this.#elements.set(key, element);
    return delta;
  }

  has(element: T): boolean {
    return this.#elements.has(jsonKey(element));
  }

  size(): number {
    return this.#elements.size;
  }

  /** In the order in which this replica got them; `toJSON` has one order for all. */
  elements(): T[] {
    return [...this.#elements.values()];
  }

  copy(): GSet<T> {
    const copied = new GSet<T>();
    copied.join(this);
    return copied;
  }

  /** Sorted, so that equal sets are equal bytes. */
  toJSON(): T[] {
    return [...this.#elements.keys()].sort().map((key) => valueOfKey(key) as T);
  }

  protected override join(other: GSet<T>): void {
    for (const [key, element] of other.#elements) if (!this.#elements.has(key)) this.#elements.set(key, element);
  }
}
