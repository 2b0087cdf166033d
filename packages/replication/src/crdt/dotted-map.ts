/**
 * Values with the dots that put them there, and the context of all dots ever seen. What another replica has seen and no longer
 * has was removed there; what this one has not seen is new. So a removal takes away just what its author had seen, and an
 * addition at the same time stays. Removed values leave nothing behind but numbers in the context.
 */

import { CausalContext, type CausalContextState, type Dot } from './causal-context.ts';
import { inputInvalid } from './crdt.ts';
import type { StateReader } from './state-reader.ts';

interface Entry<V> {
  readonly value: V;
  readonly dots: Map<string, Dot>;
}

/** `[value, [[node, number], …]]`, sorted by key. */
export type DottedState<V> = [V, [string, number][]][];

export class DottedMap<V> {
  readonly #byKey = new Map<string, Entry<V>>();
  readonly #keyOf = new Map<string, string>();
  readonly #context: CausalContext;

  constructor(context = new CausalContext()) {
    this.#context = context;
  }

  /** Throws CRDT_STATE_INVALID unless each dot is in the context and in one place only. `keyOf` checks a value. */
  static fromJSON<V>(entries: unknown, context: unknown, keyOf: (value: unknown) => string, reader: StateReader) {
    const map = new DottedMap<V>(CausalContext.fromJSON(context, reader));
    for (const entry of reader.list(entries, 'the list of values')) {
      const [value, dots] = reader.list(entry, 'a value with its dots');
      const key = keyOf(value);
      for (const pair of reader.list(dots, 'the dots of a value')) {
        const [node, seq] = reader.list(pair, 'a dot');
        const dot: Dot = { node: reader.nodeId(node, 'a dot'), seq: reader.whole(seq, 'the number of a dot', 1) };
        if (!map.#context.has(dot) || map.#keyOf.has(textOf(dot)))
          throw reader.invalid(`the dot ${textOf(dot)} is there twice, or not in the context`);
        map.#place(key, value as V, dot);
      }
    }
    return map;
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** In the order in which this replica got the keys. */
  values(): V[] {
    return Array.from(this.#byKey.values(), ({ value }) => value);
  }

  /** Sorted by key. */
  sortedValues(): V[] {
    return this.#sorted().map(([, { value }]) => value);
  }

  /** Puts a value in the place of what its key has, or of everything with `alone`; returns the delta. */
  put(kind: string, node: string, key: string, value: V, { alone = false } = {}): DottedMap<V> {
    const dot: Dot = { node, seq: this.#context.next(node) };
    if (!Number.isSafeInteger(dot.seq))
      throw inputInvalid(kind, `node ${node} has made all changes that can be numbered`);
    const delta = alone ? this.clear() : this.remove(key);
    for (const map of [this, delta]) {
      map.#context.add(dot);
      map.#place(key, value, dot);
    }
    return delta;
  }

  /** Takes away what this replica has under a key; returns the delta. */
  remove(key: string): DottedMap<V> {
    const delta = new DottedMap<V>();
    for (const dot of [...(this.#byKey.get(key)?.dots.values() ?? [])]) {
      this.#displace(textOf(dot));
      delta.#context.add(dot);
    }
    return delta;
  }

  /** Takes away everything that this replica has; returns the delta. */
  clear(): DottedMap<V> {
    const delta = new DottedMap<V>();
    for (const { dots } of this.#byKey.values()) for (const dot of dots.values()) delta.#context.add(dot);
    this.#byKey.clear();
    this.#keyOf.clear();
    return delta;
  }

  join(other: DottedMap<V>): void {
    for (const dot of this.#removedBy(other)) this.#displace(dot);
    for (const [key, { value, dots }] of other.#byKey)
      for (const [text, dot] of dots) {
        const mine = this.#keyOf.get(text);
        // Two nodes with one id can give one dot to two values: all replicas keep the same one.
        if (mine !== undefined && mine < key) this.#displace(text);
        if (mine === undefined ? !this.#context.has(dot) : mine < key) this.#place(key, value, dot);
      }
    this.#context.merge(other.#context);
  }

  copy(): DottedMap<V> {
    const copied = new DottedMap<V>();
    copied.join(this);
    return copied;
  }

  /** Sorted by key; `toValue` gives the form that a value has in JSON. */
  entries(toValue: (key: string) => unknown): DottedState<V> {
    return this.#sorted().map(([key, { dots }]) => [
      toValue(key) as V,
      [...dots.values()].map(({ node, seq }): [string, number] => [node, seq]).sort(compareDots),
    ]);
  }

  context(): CausalContextState {
    return this.#context.toJSON();
  }

  /** My dots that `other` has seen and has no more. A delta names few: then only those are looked at. */
  #removedBy(other: DottedMap<V>): string[] {
    const isGone = (text: string, dot: Dot): boolean => !other.#keyOf.has(text) && other.#context.has(dot);
    const named = other.#context.dots(this.#keyOf.size);
    if (named !== undefined)
      return named.map(textOf).filter((text) => this.#keyOf.has(text) && !other.#keyOf.has(text));
    const gone: string[] = [];
    for (const { dots } of this.#byKey.values()) for (const [text, dot] of dots) if (isGone(text, dot)) gone.push(text);
    return gone;
  }

  #place(key: string, value: V, dot: Dot): void {
    const text = textOf(dot);
    const entry = this.#byKey.get(key);
    if (entry === undefined) this.#byKey.set(key, { value, dots: new Map([[text, dot]]) });
    else entry.dots.set(text, dot);
    this.#keyOf.set(text, key);
  }

  #displace(text: string): void {
    const key = this.#keyOf.get(text) as string;
    const entry = this.#byKey.get(key) as Entry<V>;
    entry.dots.delete(text);
    if (entry.dots.size === 0) this.#byKey.delete(key);
    this.#keyOf.delete(text);
  }

  #sorted(): [string, Entry<V>][] {
    return [...this.#byKey].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

function textOf({ node, seq }: Dot): string {
  return `${seq}:${node}`;
}

function compareDots([a, m]: [string, number], [b, n]: [string, number]): number {
  return a < b ? -1 : a > b ? 1 : m - n;
}
