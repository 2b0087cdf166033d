/**
 * Which of two states has seen the other: a counter per node. A missing entry is 0. Entries live in a Map, so no node id
 * can reach a prototype; every counter is a whole number from 0 to 2^53-1, whatever the wire brought. JSON is sorted by
 * node id, so that equal clocks are equal bytes.
 */
import { replicationErrors } from '../errors.ts';

export type ClockOrder = 'equal' | 'before' | 'after' | 'concurrent';

/** Plain form, as it travels in JSON. */
export type VectorClockRecord = Readonly<Record<string, number>>;

const NODE_ID_MAX = 256;

export class VectorClock {
  readonly #entries: Map<string, number>;

  /** Copies `entries`. Throws VECTOR_CLOCK_INVALID when they are no clock. */
  constructor(entries: VectorClockRecord = {}) {
    this.#entries = readEntries(entries);
  }

  /** A clock from JSON that another node sent. Throws VECTOR_CLOCK_INVALID naming the entry that is wrong. */
  static fromJSON(json: unknown): VectorClock {
    return new VectorClock(json as VectorClockRecord);
  }

  /** How `a` stands to `b`: it happened before, after, is the same, or neither has seen the other. */
  static compare(a: VectorClock | VectorClockRecord, b: VectorClock | VectorClockRecord): ClockOrder {
    const left = VectorClock.#entriesOf(a);
    const right = VectorClock.#entriesOf(b);
    let less = false;
    let greater = false;
    let shared = 0;
    for (const [node, mine] of left) {
      const theirs = right.get(node);
      if (theirs !== undefined) shared++;
      if (mine > (theirs ?? 0)) greater = true;
      else if (mine < (theirs ?? 0)) less = true;
    }
    if (!less && shared < right.size)
      for (const [node, theirs] of right)
        if (theirs > 0 && !left.has(node)) {
          less = true;
          break;
        }
    if (less) return greater ? 'concurrent' : 'before';
    return greater ? 'after' : 'equal';
  }

  /** A new clock with the greater counter of each node: what has been seen when both have been. */
  static merge(a: VectorClock | VectorClockRecord, b: VectorClock | VectorClockRecord): VectorClock {
    const merged = new VectorClock();
    mergeInto(merged.#entries, VectorClock.#entriesOf(a));
    mergeInto(merged.#entries, VectorClock.#entriesOf(b));
    return merged;
  }

  /** True when `b` has seen all of `a`, and more. */
  static happensBefore(a: VectorClock | VectorClockRecord, b: VectorClock | VectorClockRecord): boolean {
    return VectorClock.compare(a, b) === 'before';
  }

  /**
   * Whether `node` may be pruned: all remaining members (their clocks are `members`) have seen equally much of it, so that
   * no event of it is still under way between them. False without members.
   */
  static isSettled(node: string, members: Iterable<VectorClock | VectorClockRecord>): boolean {
    let seen: number | undefined;
    for (const member of members) {
      const counter = VectorClock.#entriesOf(member).get(node) ?? 0;
      if (seen !== undefined && counter !== seen) return false;
      seen = counter;
    }
    return seen !== undefined;
  }

  /** 0 for a node that it does not have. */
  get(node: string): number {
    return this.#entries.get(node) ?? 0;
  }

  /** Throws VECTOR_CLOCK_INVALID when `counter` is no whole number from 0 to 2^53-1. */
  set(node: string, counter: number): void {
    const problem = entryProblem(node, counter);
    if (problem !== undefined) throw invalid(problem);
    this.#entries.set(node, counter);
  }

  /** Adds one to a node's counter and returns it. Throws VECTOR_CLOCK_INVALID at 2^53-1, where it can't grow. */
  increment(node: string): number {
    const counter = this.get(node) + 1;
    this.set(node, counter);
    return counter;
  }

  /** True when it has no entries; an entry that is 0 counts as one. */
  isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** The nodes that have an entry, sorted. */
  getNodes(): string[] {
    return [...this.#entries.keys()].sort();
  }

  /** Number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** Takes over what `other` has seen, in place. */
  mergeWith(other: VectorClock | VectorClockRecord): void {
    mergeInto(this.#entries, VectorClock.#entriesOf(other));
  }

  /**
   * Drops the entries of departed nodes, in place, and returns how many there were. Only safe for a node that is settled
   * (`isSettled`) among those who remain, and then on every clock that will be compared, also of stored values: a clock that
   * still has the entry and one that has not are compared as if the node had been at 0. A pruned id must not join again.
   */
  prune(departed: Iterable<string>): number {
    let pruned = 0;
    for (const node of departed) if (this.#entries.delete(node)) pruned++;
    return pruned;
  }

  /** An independent one. */
  copy(): VectorClock {
    const copied = new VectorClock();
    mergeInto(copied.#entries, this.#entries);
    return copied;
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.getNodes().map((node) => [node, this.get(node)]));
  }

  /** Without copying. */
  static #entriesOf(clock: VectorClock | VectorClockRecord): ReadonlyMap<string, number> {
    return clock instanceof VectorClock ? clock.#entries : readEntries(clock);
  }
}

function mergeInto(target: Map<string, number>, source: ReadonlyMap<string, number>): void {
  for (const [node, counter] of source) {
    const mine = target.get(node);
    if (mine === undefined || mine < counter) target.set(node, counter);
  }
}

function readEntries(record: unknown): Map<string, number> {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) throw invalid('it is not a record');
  const entries = new Map<string, number>();
  for (const [node, counter] of Object.entries(record)) {
    const problem = entryProblem(node, counter);
    if (problem !== undefined) throw invalid(problem);
    entries.set(node, counter);
  }
  return entries;
}

function entryProblem(node: unknown, counter: unknown): string | undefined {
  if (typeof node !== 'string' || node === '') return 'a node id is empty or no text';
  if (node.length > NODE_ID_MAX) return `a node id has ${node.length} characters`;
  if (typeof counter !== 'number') return `the counter of "${node}" is a ${counter === null ? 'null' : typeof counter}`;
  if (!Number.isSafeInteger(counter) || counter < 0) return `the counter of "${node}" is ${counter}`;
  return undefined;
}

function invalid(problem: string) {
  return replicationErrors.create('VECTOR_CLOCK_INVALID', { problem });
}
