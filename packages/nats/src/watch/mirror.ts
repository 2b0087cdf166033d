/**
 * What a watch knows of a bucket: the present item per key, and, while a listing runs, which of them the listing has
 * confirmed. Turns messages into changes: everything when live, only differences while listing, and at the end of a
 * listing the keys that are gone. Pure; memory is bounded by the number of present keys.
 */
export interface Item {
  readonly revision: number;
}

export interface Change<T extends Item> {
  readonly key: string;
  /** For a key that vanished without a message: the item last seen. */
  readonly item: T;
  /** Whether the key has a value after this. */
  readonly present: boolean;
  /** Nobody removed the key: it was found gone by comparing, or the server says that it expired. */
  readonly vanished?: boolean;
}

export class Mirror<T extends Item> {
  readonly #known = new Map<string, T>();
  #confirmed: Set<string> | undefined;

  get size(): number {
    return this.#known.size;
  }

  entries(): IterableIterator<[string, T]> {
    return this.#known.entries();
  }

  /** A listing begins: until `endListing` messages are compared with what is known. */
  beginListing(): void {
    this.#confirmed = new Set();
  }

  /** A message; returns the change to tell, if it is one. */
  apply(change: Change<T>): Change<T> | undefined {
    const { key, item, present } = change;
    const before = this.#known.get(key);
    if (present) this.#known.set(key, item);
    else this.#known.delete(key);
    this.#confirmed?.add(key);
    // As a key that vanished without a word: what counts is the item that did.
    if (change.vanished) return before === undefined ? undefined : { ...change, item: before };
    if (this.#confirmed === undefined) return change;
    if (present) return before?.revision === item.revision ? undefined : change;
    return before === undefined ? undefined : change;
  }

  /** The listing is complete: returns the keys that it did not mention, as deletions. */
  endListing(): Change<T>[] {
    const confirmed = this.#confirmed;
    this.#confirmed = undefined;
    if (confirmed === undefined) return [];
    const gone: Change<T>[] = [];
    for (const [key, item] of this.#known) {
      if (!confirmed.has(key)) gone.push({ key, item, present: false, vanished: true });
    }
    for (const { key } of gone) this.#known.delete(key);
    return gone;
  }

  /** What was known at a moment, to be compared later by `retain`. */
  snapshot(): ReadonlyMap<string, T> {
    return new Map(this.#known);
  }

  /** Drops the keys of `before` that `exists` denies, unless they were written since. Returns them as deletions. */
  retain(before: ReadonlyMap<string, T>, exists: (key: string) => boolean): Change<T>[] {
    const gone: Change<T>[] = [];
    for (const [key, item] of before) {
      if (exists(key) || this.#known.get(key)?.revision !== item.revision) continue;
      this.#known.delete(key);
      gone.push({ key, item, present: false, vanished: true });
    }
    return gone;
  }
}
