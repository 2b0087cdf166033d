/**
 * One writer, many readers of a stream of events, each reading at its own pace: what stands behind every `watch()`.
 * A reader that falls `capacity` events behind loses the oldest ones and is told so by `onOverflow`'s event in their place.
 */
export interface WatchOptions {
  readonly signal?: AbortSignal | undefined;
}

export class Broadcast<T> {
  readonly #readers = new Set<Reader<T>>();
  readonly #capacity: number;
  readonly #onOverflow: ((lost: number) => T) | undefined;
  #closed = false;

  constructor(options: { capacity?: number; onOverflow?: (lost: number) => T } = {}) {
    this.#capacity = options.capacity ?? 1024;
    this.#onOverflow = options.onOverflow;
  }

  /** Hands the event to every reader; never blocks. */
  send(event: T): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** Ends every reader after what it has buffered. */
  close(): void {
    this.#closed = true;
    for (const reader of this.#readers) reader.end();
  }

  /** Events from now on, after `first` if given. Ends (does not throw) when the signal aborts or the broadcast closes. */
  watch(options: WatchOptions & { first?: readonly T[] } = {}): AsyncIterableIterator<T> {
    const { signal } = options;
    const onAbort = (): void => reader.end();
    const reader = new Reader<T>(this.#capacity, this.#onOverflow, () => {
      this.#readers.delete(reader);
      signal?.removeEventListener('abort', onAbort);
    });
    for (const event of options.first ?? []) reader.push(event);
    if (this.#closed || signal?.aborted) reader.end();
    else {
      this.#readers.add(reader);
      signal?.addEventListener('abort', onAbort, { once: true });
    }
    return reader;
  }
}

class Reader<T> implements AsyncIterableIterator<T> {
  readonly #buffer: T[] = [];
  #lost = 0;
  #ended = false;
  #waiting: ((result: IteratorResult<T>) => void)[] = [];
  readonly #capacity: number;
  readonly #onOverflow: ((lost: number) => T) | undefined;
  readonly #onEnd: () => void;

  constructor(capacity: number, onOverflow: ((lost: number) => T) | undefined, onEnd: () => void) {
    this.#capacity = capacity;
    this.#onOverflow = onOverflow;
    this.#onEnd = onEnd;
  }

  push(event: T): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ value: event, done: false });
      return;
    }
    if (this.#buffer.length >= this.#capacity) {
      this.#buffer.shift();
      this.#lost += 1;
    }
    this.#buffer.push(event);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    for (const waiting of this.#waiting.splice(0)) waiting({ value: undefined, done: true });
  }

  async next(): Promise<IteratorResult<T>> {
    if (this.#lost > 0 && this.#onOverflow !== undefined) {
      const event = this.#onOverflow(this.#lost);
      this.#lost = 0;
      return { value: event, done: false };
    }
    if (this.#buffer.length > 0) return { value: this.#buffer.shift() as T, done: false };
    if (this.#ended) return { value: undefined, done: true };
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async return(): Promise<IteratorResult<T>> {
    this.#buffer.length = 0;
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
