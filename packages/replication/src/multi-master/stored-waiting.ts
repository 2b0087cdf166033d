/**
 * Events that came before what they depend on, in the store: as many as there are. Only how many each author has is in memory.
 */
import { type DurableState, numberKey } from './durable-state.ts';
import type { MasterEvent } from './event.ts';

export class StoredWaiting {
  readonly #state: DurableState;
  readonly #counts = new Map<string, number>();

  /** Reads how many there are. */
  constructor(state: DurableState) {
    this.#state = state;
    for (const page of state.pages<MasterEvent>('waiting')) for (const [key] of page) this.#count(authorOf(key), 1);
  }

  get size(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  get authors(): string[] {
    return [...this.#counts.keys()];
  }

  has(author: string): boolean {
    return this.#counts.has(author);
  }

  get(author: string, number: number): MasterEvent | undefined {
    return this.#state.get('waiting', waitingKey(author, number));
  }

  holds(author: string, number: number): boolean {
    return this.has(author) && this.get(author, number) !== undefined;
  }

  /** False when it is there already: the first one stays. */
  put(author: string, number: number, event: MasterEvent): boolean {
    return this.restore(waitingKey(author, number), event);
  }

  /** By its key, from a snapshot. */
  restore(key: string, event: MasterEvent): boolean {
    if (this.#state.get('waiting', key) !== undefined) return false;
    this.#state.set('waiting', key, event);
    this.#count(authorOf(key), 1);
    return true;
  }

  /** Nothing happens when it does not wait. */
  delete(author: string, number: number): void {
    if (!this.holds(author, number)) return;
    this.#state.set('waiting', waitingKey(author, number), undefined);
    this.#count(author, -1);
  }

  /** What has taken effect by other means, up to this number. Returns the numbers of what waited. */
  forgetSeen(author: string, seen: number): number[] {
    const forgotten: number[] = [];
    for (const key of this.#state.keys('waiting', `${author} `)) {
      if (key > waitingKey(author, seen)) continue;
      this.#state.set('waiting', key, undefined);
      this.#count(author, -1);
      forgotten.push(Number(key.slice(author.length + 1)));
    }
    return forgotten;
  }

  /**
   * What an earlier life had on its way, with a gap before it, will never be complete. What has no gap before it counts, also
   * where it is still held: the log alone decides, so all masters decide the same.
   */
  forgetBehindGap(author: string, seen: number): void {
    if (!this.has(author)) return;
    let last = seen;
    while (this.get(author, last + 1) !== undefined) last += 1;
    for (const key of this.#state.keys('waiting', `${author} `)) {
      if (key <= waitingKey(author, last)) continue;
      this.#state.set('waiting', key, undefined);
      this.#count(author, -1);
    }
  }

  #count(author: string, by: number): void {
    const count = (this.#counts.get(author) ?? 0) + by;
    if (count > 0) this.#counts.set(author, count);
    else this.#counts.delete(author);
  }
}

function waitingKey(author: string, number: number): string {
  return `${author} ${numberKey(number)}`;
}

function authorOf(key: string): string {
  return key.slice(0, key.lastIndexOf(' '));
}
