/**
 * Events that came before what they depend on, in memory, by author and number. Bounded over all authors: when it is full, the
 * one with the oldest timestamp goes, and whoever put one in is told which.
 */
import type { Change } from './event.ts';

export class WaitingRoom {
  readonly #limit: number;
  readonly #authors = new Map<string, Map<number, Change>>();
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  get authors(): readonly string[] {
    return [...this.#authors.keys()];
  }

  get(author: string, number: number): Change | undefined {
    return this.#authors.get(author)?.get(number);
  }

  /** Returns the one that had to go, which may be the newcomer. */
  put(change: Change): Change | undefined {
    const { author, number } = change;
    if (this.get(author, number) !== undefined) return undefined;
    if (this.#limit === 0) return change;
    const events = this.#authors.get(author) ?? new Map<number, Change>();
    events.set(number, change);
    this.#authors.set(author, events);
    this.#size += 1;
    if (this.#size <= this.#limit) return undefined;
    const oldest = this.#oldest();
    this.delete(oldest.author, oldest.number);
    return oldest;
  }

  delete(author: string, number: number): void {
    const events = this.#authors.get(author);
    if (events === undefined || !events.delete(number)) return;
    this.#size -= 1;
    if (events.size === 0) this.#authors.delete(author);
  }

  /** Those with a number up to this one: they are behind us. */
  drop(author: string, upTo: number): void {
    for (const number of this.#authors.get(author)?.keys() ?? []) if (number <= upTo) this.delete(author, number);
  }

  all(): Change[] {
    return [...this.#authors.values()].flatMap((events) => [...events.values()]);
  }

  #oldest(): Change {
    return this.all().reduce((oldest, change) => (change.wallMs < oldest.wallMs ? change : oldest));
  }
}
