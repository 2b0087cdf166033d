/**
 * What a follower of a plain pipeline does with events that come in any order, twice, or not at all. Pure. Invariants: what is
 * handed out has sequences that rise by one from where it began; at most `limit` events wait, those nearest to their turn.
 */
export interface SequenceRange {
  readonly from: number;
  readonly to: number;
}

export class SequenceOrder<T> {
  readonly #waiting = new Map<number, T>();
  readonly #limit: number;
  #applied: number;

  constructor(applied: number, limit: number) {
    this.#applied = applied;
    this.#limit = limit;
  }

  /** The last sequence that was handed out. */
  get applied(): number {
    return this.#applied;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** `full`: it would have been one too many; whoever has the log must give it again. */
  offer(sequence: number, item: T): 'taken' | 'duplicate' | 'full' {
    if (sequence <= this.#applied || this.#waiting.has(sequence)) return 'duplicate';
    if (this.#waiting.size >= this.#limit && sequence !== this.#applied + 1) {
      let last = 0;
      for (const waiting of this.#waiting.keys()) last = Math.max(last, waiting);
      if (sequence > last) return 'full';
      this.#waiting.delete(last);
      this.#waiting.set(sequence, item);
      return 'full';
    }
    this.#waiting.set(sequence, item);
    return 'taken';
  }

  /** The next one in turn, if it has come. It stays until `pass`. */
  next(): { readonly sequence: number; readonly item: T } | undefined {
    const sequence = this.#applied + 1;
    const item = this.#waiting.get(sequence);
    return item === undefined ? undefined : { sequence, item };
  }

  /** The next one was handed out. */
  pass(): void {
    this.#applied += 1;
    this.#waiting.delete(this.#applied);
  }

  /** What is missing before the first one that waits. */
  missing(): SequenceRange | undefined {
    if (this.#waiting.size === 0) return undefined;
    let first = Number.POSITIVE_INFINITY;
    for (const waiting of this.#waiting.keys()) first = Math.min(first, waiting);
    return first > this.#applied + 1 ? { from: this.#applied + 1, to: first - 1 } : undefined;
  }

  /** Gives up what is missing before the first one that waits. */
  skip(): SequenceRange | undefined {
    const range = this.missing();
    if (range !== undefined) this.#applied = range.to;
    return range;
  }

  /** This replica's own writes, as a leader. */
  advance(sequence: number): void {
    this.#applied = Math.max(this.#applied, sequence);
    for (const waiting of [...this.#waiting.keys()]) if (waiting <= this.#applied) this.#waiting.delete(waiting);
  }
}
