/**
 * What comes in batches, one by one: a reader that keeps up with a fast stream pays for one promise an item instead of a turn of each
 * generator below. Invariant: items come in order, also to callers that don't wait; what is left of a batch is dropped at the end.
 */
export class OneByOne<T> implements AsyncIterableIterator<T, undefined> {
  readonly #batches: AsyncGenerator<readonly T[], void, undefined>;
  readonly #signal: AbortSignal;
  #batch: readonly T[] = [];
  #at = 0;
  #loading: Promise<unknown> | undefined;

  constructor(batches: AsyncGenerator<readonly T[], void, undefined>, signal: AbortSignal) {
    this.#batches = batches;
    this.#signal = signal;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#loading !== undefined) return this.#loading.then(() => this.next());
    if (this.#at < this.#batch.length && !this.#signal.aborted)
      return Promise.resolve({ value: this.#batch[this.#at++] as T, done: false });
    const loading = this.#load();
    this.#loading = loading
      .catch(() => {})
      .finally(() => {
        this.#loading = undefined;
      });
    return loading;
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#batch = [];
    await this.#batches.return();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #load(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const { value, done } = await this.#batches.next();
      if (done) return { value: undefined, done: true };
      if (value.length === 0) continue;
      this.#batch = value;
      this.#at = 1;
      return { value: value[0] as T, done: false };
    }
  }
}
