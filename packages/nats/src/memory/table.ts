/**
 * A bucket of the twin: the last item per key under one growing revision, deletions included, with expiry and listeners.
 * Everything happens at once and in order; delays and losses are the session's business.
 */
import type { Clock, Timer } from '@canopy/core';
import type { Change, Item } from '../watch/mirror.ts';

interface Row<T extends Item> {
  readonly item: T;
  readonly present: boolean;
  readonly expiry: Timer | undefined;
}

export class Table<T extends Item> {
  readonly createdAt: number;
  readonly ttlMs: number;
  readonly #clock: Clock;
  readonly #rows = new Map<string, Row<T>>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  #revision: number;

  constructor(clock: Clock, ttlMs = 0, firstRevision = 1) {
    this.#clock = clock;
    this.#revision = firstRevision - 1;
    this.ttlMs = ttlMs;
    this.createdAt = clock.wall();
  }

  get revision(): number {
    return this.#revision;
  }

  /** Revision of the key's last write, deletions included; 0 = nothing is stored. */
  revisionOf(key: string): number {
    return this.#rows.get(key)?.item.revision ?? 0;
  }

  get(key: string): T | undefined {
    const row = this.#rows.get(key);
    return row?.present ? row.item : undefined;
  }

  *present(): Generator<[string, T]> {
    for (const [key, { item, present }] of this.#rows) if (present) yield [key, item];
  }

  /** Stores what `make` gives for the new revision, and tells the listeners. */
  write(key: string, present: boolean, make: (revision: number) => T): T {
    this.#revision += 1;
    const item = make(this.#revision);
    this.#rows.get(key)?.expiry?.cancel();
    const expiry = this.ttlMs > 0 ? this.#expire(key, item) : undefined;
    // Removed first, so that the order is that of the last writes, as in a stream.
    this.#rows.delete(key);
    this.#rows.set(key, { item, present, expiry });
    this.#tell({ key, item, present });
    return item;
  }

  /** Takes every trace of the key away; the listeners hear of a deletion. */
  purge(key: string): void {
    const row = this.#rows.get(key);
    if (row === undefined) return;
    row.expiry?.cancel();
    this.#revision += 1;
    this.#rows.delete(key);
    if (row.present) this.#tell({ key, item: row.item, present: false, vanished: true });
  }

  listen(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #expire(key: string, item: T): Timer {
    const run = (): void => {
      const row = this.#rows.get(key);
      if (row?.item !== item) return;
      this.#rows.delete(key);
      if (row.present) this.#tell({ key, item, present: false, vanished: true });
    };
    return this.#clock.timer(this.ttlMs, run, { background: true });
  }

  #tell(change: Change<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}
