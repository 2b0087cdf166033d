/** One after the other: work that changes what a database is. A turn begins when the one before it has ended, however. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves and rejects as `work` does. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}
