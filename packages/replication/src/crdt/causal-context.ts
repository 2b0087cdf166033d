/**
 * Which changes a replica has seen. A change is a dot: the node that made it, and its number there. Dots without a gap are
 * kept as one number per node, the others one by one until the gap closes, so that deltas may arrive in any order.
 */
import type { StateReader } from './state-reader.ts';

export interface Dot {
  readonly node: string;
  /** From 1. */
  readonly seq: number;
}

export interface CausalContextState {
  readonly seen: Record<string, number>;
  /** What lies beyond a gap. */
  readonly apart?: Record<string, number[]>;
}

export class CausalContext {
  readonly #seen = new Map<string, number>();
  readonly #apart = new Map<string, Set<number>>();

  static fromJSON(json: unknown, reader: StateReader): CausalContext {
    const context = new CausalContext();
    const state = reader.record(json, 'the context');
    for (const [node, seq] of reader.counts(state.seen, 'what was seen')) context.#seen.set(node, seq);
    for (const [node, list] of Object.entries(reader.record(state.apart ?? {}, 'what lies apart')))
      for (const seq of reader.list(list, `what lies apart of "${node}"`))
        context.add({ node: reader.nodeId(node, 'what lies apart'), seq: reader.whole(seq, 'a number', 1) });
    return context;
  }

  has({ node, seq }: Dot): boolean {
    return seq <= (this.#seen.get(node) ?? 0) || this.#apart.get(node)?.has(seq) === true;
  }

  /** The number of the node's next change. */
  next(node: string): number {
    let last = this.#seen.get(node) ?? 0;
    for (const seq of this.#apart.get(node) ?? []) last = Math.max(last, seq);
    return last + 1;
  }

  add({ node, seq }: Dot): void {
    const seen = this.#seen.get(node) ?? 0;
    if (seq <= seen) return;
    if (seq > seen + 1) {
      const apart = this.#apart.get(node);
      if (apart === undefined) this.#apart.set(node, new Set([seq]));
      else apart.add(seq);
    } else this.#advance(node, seq);
  }

  merge(other: CausalContext): void {
    for (const [node, seq] of other.#seen) if (seq > (this.#seen.get(node) ?? 0)) this.#advance(node, seq);
    for (const [node, seqs] of other.#apart) for (const seq of seqs) this.add({ node, seq });
  }

  /** All dots, one by one, when there are at most `limit` of them. */
  dots(limit: number): Dot[] | undefined {
    let count = 0;
    for (const seq of this.#seen.values()) count += seq;
    for (const seqs of this.#apart.values()) count += seqs.size;
    if (count > limit) return undefined;
    const dots: Dot[] = [];
    for (const [node, last] of this.#seen) for (let seq = 1; seq <= last; seq++) dots.push({ node, seq });
    for (const [node, seqs] of this.#apart) for (const seq of seqs) dots.push({ node, seq });
    return dots;
  }

  toJSON(): CausalContextState {
    const apart = sorted(this.#apart).map(([node, seqs]) => [node, [...seqs].sort((a, b) => a - b)] as const);
    return {
      seen: Object.fromEntries(sorted(this.#seen)),
      ...(apart.length === 0 ? {} : { apart: Object.fromEntries(apart) }),
    };
  }

  /** Everything of `node` up to `seq` is seen, and what follows without a gap. */
  #advance(node: string, seq: number): void {
    const apart = this.#apart.get(node);
    const jumped = seq > (this.#seen.get(node) ?? 0) + 1;
    let last = seq;
    while (apart?.delete(last + 1)) last++;
    this.#seen.set(node, last);
    if (apart === undefined) return;
    if (jumped) for (const each of apart) if (each <= last) apart.delete(each);
    if (apart.size === 0) this.#apart.delete(node);
  }
}

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
