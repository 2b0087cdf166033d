/**
 * The writes of one term that are on their way to the log. Pure. Each expects the end that the one before it makes. Invariants:
 * a write is confirmed only after all before it were, at the sequence it expected to get; after the first that was not,
 * the window is broken: nothing enters, and what is open is answered by reading the log once all has settled.
 */
export interface WindowEntry<T> {
  readonly number: number;
  /** The sequence it gets if all goes well. */
  readonly predicted: number;
  readonly item: T;
  state: 'under-way' | 'acknowledged' | 'failed';
  error: unknown;
}

export class AppendWindow<T> {
  readonly #open: WindowEntry<T>[] = [];
  #end: number;
  #number = 0;
  #broken = false;

  /** `end`: the log's last sequence. */
  constructor(end: number) {
    this.#end = end;
  }

  /** What the next write expects to be the log's last sequence. */
  get end(): number {
    return this.#end;
  }

  /** What the next write will be, within its term. */
  get nextNumber(): number {
    return this.#number + 1;
  }

  get size(): number {
    return this.#open.length;
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** All answers are in: a broken window can be resolved. */
  get settled(): boolean {
    return this.#open.every(({ state }) => state !== 'under-way');
  }

  enter(item: T): WindowEntry<T> {
    const entry: WindowEntry<T> = {
      number: ++this.#number,
      predicted: this.#end + 1,
      item,
      state: 'under-way',
      error: undefined,
    };
    this.#end += 1;
    this.#open.push(entry);
    return entry;
  }

  acknowledge(entry: WindowEntry<T>, sequence: number): void {
    // Another place than expected: what stands before it is not known.
    if (sequence !== entry.predicted) this.fail(entry, undefined);
    else entry.state = 'acknowledged';
  }

  fail(entry: WindowEntry<T>, error: unknown): void {
    entry.state = 'failed';
    entry.error = error;
    this.#broken = true;
  }

  /** Takes out what is confirmed: from the front, as long as acknowledged. */
  confirmed(): WindowEntry<T>[] {
    const open = this.#open.findIndex(({ state }) => state !== 'acknowledged');
    return this.#open.splice(0, open === -1 ? this.#open.length : open);
  }

  /** Takes out everything, to be answered by what the log shows; the window goes on from this end. */
  reopen(end: number): WindowEntry<T>[] {
    this.#end = end;
    this.#broken = false;
    return this.#open.splice(0);
  }
}
