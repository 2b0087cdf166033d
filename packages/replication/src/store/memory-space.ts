/**
 * One space of a store in memory. Copies share what they hold until one of them is written to. The order of the keys is made when it
 * is asked for: what was added since is sorted in, which is cheap where it came in order.
 */
import { compareKeys } from './store-key.ts';

interface Cell {
  readonly text: string;
  readonly writes: number;
}

export class MemorySpace {
  #cells = new Map<string, Cell>();
  #keys: string[] = [];
  #ordered = true;
  /** Somebody else reads the same cells and keys. */
  #shared = false;

  get size(): number {
    return this.#cells.size;
  }

  text(key: string): string | undefined {
    return this.#cells.get(key)?.text;
  }

  writes(key: string): number {
    return this.#cells.get(key)?.writes ?? 0;
  }

  put(key: string, text: string): void {
    this.#own();
    const cell = this.#cells.get(key);
    this.#cells.set(key, { text, writes: (cell?.writes ?? 0) + 1 });
    if (cell !== undefined) return;
    const last = this.#keys.at(-1);
    this.#ordered &&= last === undefined || compareKeys(last, key) < 0;
    this.#keys.push(key);
  }

  delete(key: string): void {
    if (!this.#cells.has(key)) return;
    this.#own();
    this.#order();
    this.#cells.delete(key);
    this.#keys.splice(this.#after(key) - 1, 1);
  }

  /** At most `limit` entries after `after` that begin with `prefix`. */
  range(after: string | undefined, prefix: string, limit: number): [key: string, text: string][] {
    this.#order();
    const from = after === undefined ? 0 : this.#after(after);
    const found: [string, string][] = [];
    for (let i = Math.max(from, this.#before(prefix)); i < this.#keys.length && found.length < limit; i++) {
      const key = this.#keys[i] as string;
      if (!key.startsWith(prefix)) break;
      found.push([key, (this.#cells.get(key) as Cell).text]);
    }
    return found;
  }

  /** A copy, made when either is written to. */
  share(): MemorySpace {
    this.#order();
    const copy = new MemorySpace();
    copy.#cells = this.#cells;
    copy.#keys = this.#keys;
    copy.#shared = true;
    this.#shared = true;
    return copy;
  }

  #own(): void {
    if (!this.#shared) return;
    this.#cells = new Map(this.#cells);
    this.#keys = [...this.#keys];
    this.#shared = false;
  }

  #order(): void {
    if (!this.#ordered) this.#keys.sort(compareKeys);
    this.#ordered = true;
  }

  /** The index of the first key greater than this. */
  #after(key: string): number {
    return this.#first((each) => compareKeys(each, key) > 0);
  }

  /** The index of the first key that is not smaller than this. */
  #before(key: string): number {
    return this.#first((each) => compareKeys(each, key) >= 0);
  }

  #first(holds: (key: string) => boolean): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(this.#keys[middle] as string)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
