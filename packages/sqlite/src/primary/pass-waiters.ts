/**
 * Those who wait until what was there when they asked has been dealt with. Work goes in passes: a pass that is under way may
 * have looked before they came, so each is covered by the next one that begins. Invariant: whoever was added is settled
 * once, by the end of a pass that covers it or by a failure.
 */
interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

export class PassWaiters<T> {
  #waiting: Waiter<T>[] = [];
  /** By the pass under way. */
  #covered: Waiter<T>[] = [];

  /** Nobody waits for a pass that has yet to begin. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** A rejection that nobody looks at is not an unhandled one. */
  add(): Promise<T> {
    const passed = new Promise<T>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    passed.catch(() => {});
    return passed;
  }

  /** A pass begins, and covers everybody so far. */
  begin(): void {
    this.#covered = this.#waiting.splice(0);
  }

  /** The pass did not come to the end of what there was: the next one covers them again. */
  again(): void {
    this.#waiting.unshift(...this.#covered.splice(0));
  }

  end(value: T): void {
    for (const waiter of this.#covered.splice(0)) waiter.resolve(value);
  }

  /** Everybody, covered or not. */
  fail(error: Error): void {
    for (const waiter of [...this.#covered.splice(0), ...this.#waiting.splice(0)]) waiter.reject(error);
  }
}
