/**
 * The events of one topic that failed and wait for another attempt, in the order of their offsets, and how many were tried past the first of them: the
 * bound on what is repeated after a restart, and on what this holds.
 */
import type { SourceEvent } from '../ports/pipeline-source.ts';

/** An event that is not done with. */
export interface Entry {
  readonly event: SourceEvent;
  /** How many events were tried before it, itself included. */
  readonly nth: number;
  attempts: number;
  /** `onEvent` ended well; `onBatch` has not. */
  eventDone: boolean;
  /** Monotonic ms of the next attempt. */
  dueAt: number;
}

export class Unsettled {
  readonly #maxAhead: number;
  #entries: Entry[] = [];
  #tried = 0;

  constructor(maxAhead: number) {
    this.#maxAhead = maxAhead;
  }

  get size(): number {
    return this.#entries.length;
  }

  get first(): SourceEvent | undefined {
    return this.#entries[0]?.event;
  }

  /** Monotonic ms of the earliest attempt; Infinity when nothing waits. */
  get dueAt(): number {
    return this.#entries.reduce((earliest, { dueAt }) => Math.min(earliest, dueAt), Number.POSITIVE_INFINITY);
  }

  /** No more may be begun before the first of them is done with. */
  get isStalled(): boolean {
    const [first] = this.#entries;
    return first !== undefined && this.#tried - first.nth >= this.#maxAhead;
  }

  /** An event is tried for the first time. */
  open(event: SourceEvent): Entry {
    this.#tried += 1;
    return { event, nth: this.#tried, attempts: 0, eventDone: false, dueAt: 0 };
  }

  due(now: number): readonly Entry[] {
    return this.#entries.filter(({ dueAt }) => dueAt <= now);
  }

  add(entry: Entry): void {
    if (this.#entries.includes(entry)) return;
    const after = this.#entries.findIndex(({ event }) => event.offset > entry.event.offset);
    this.#entries.splice(after < 0 ? this.#entries.length : after, 0, entry);
  }

  /** The offset of the first that is left when these are gone. */
  firstWithout(entries: readonly Entry[]): number | undefined {
    return this.#entries.find((entry) => !entries.includes(entry))?.event.offset;
  }

  /** Whether one of them was here. */
  remove(entries: readonly Entry[]): boolean {
    const before = this.#entries.length;
    if (before > 0) this.#entries = this.#entries.filter((entry) => !entries.includes(entry));
    return this.#entries.length < before;
  }

  clear(): void {
    this.#entries = [];
  }
}
