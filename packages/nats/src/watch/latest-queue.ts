/**
 * What stands between a watch and a reader that may lag: it keeps the latest change per key, so its memory is bounded
 * by the number of keys, and the newest value is never lost. A reader that keeps up sees every change. Changes never
 * move across the `synced` that they were pushed before, and a key that came and went before the first `synced` was
 * read is not mentioned at all.
 */
const INTERRUPTED = Symbol('interrupted');
const SYNCED = Symbol('synced');

export class LatestQueue<E> implements AsyncIterableIterator<E> {
  readonly #queue = new Map<string | symbol, { event: E; present: boolean }>();
  readonly #onEnd: () => void;
  #waiting: ((result: IteratorResult<E>) => void)[] = [];
  #sawSynced = false;
  #ended = false;

  constructor(onEnd: () => void = () => {}) {
    this.#onEnd = onEnd;
  }

  /** `present` is false for a deletion. */
  push(key: string, event: E, present: boolean): void {
    if (this.#deliver(event)) return;
    const queued = this.#queue.get(key);
    const holdsSynced = this.#queue.has(SYNCED);
    if (queued !== undefined && !present && !this.#sawSynced && queued.present) {
      this.#queue.delete(key);
      return;
    }
    if (!holdsSynced) this.#queue.delete(key);
    this.#queue.set(key, { event, present });
  }

  interrupted(event: E): void {
    this.#mark(INTERRUPTED, event);
  }

  synced(event: E): void {
    this.#mark(SYNCED, event);
  }

  #mark(kind: symbol, event: E): void {
    if (this.#deliver(event)) {
      if (kind === SYNCED) this.#sawSynced = true;
      return;
    }
    this.#queue.delete(kind);
    this.#queue.set(kind, { event, present: true });
  }

  #deliver(event: E): boolean {
    if (this.#ended) return true;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return false;
    waiting({ value: event, done: false });
    return true;
  }

  /** The reader still gets what is queued. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    for (const waiting of this.#waiting.splice(0)) waiting({ value: undefined, done: true });
  }

  async next(): Promise<IteratorResult<E>> {
    const first = this.#queue.entries().next();
    if (!first.done) {
      const [key, { event }] = first.value;
      this.#queue.delete(key);
      if (key === SYNCED) this.#sawSynced = true;
      return { value: event, done: false };
    }
    if (this.#ended) return { value: undefined, done: true };
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async return(): Promise<IteratorResult<E>> {
    this.#queue.clear();
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
