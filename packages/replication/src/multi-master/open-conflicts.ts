/**
 * The conflicts of a durable master; those that wait for a decision are in its store. Invariant: one waits exactly where the entity's record
 * holds versions that somebody has to decide between, by whatever way they came; so masters that know the same have the same list.
 */

import type { ConflictBook, ConflictRecord } from './conflict-book.ts';
import type { DurableState } from './durable-state.ts';
import type { EntityRecord } from './entity-record.ts';
import type { Listeners } from './listeners.ts';
import { isOpen, type Policy } from './policy.ts';
import { conflictOf } from './settlement.ts';

export interface OpenConflictsDeps {
  readonly state: DurableState;
  readonly book: ConflictBook;
  readonly policy: () => Policy;
  readonly listeners: Listeners;
  readonly wall: () => number;
}

export class OpenConflicts {
  readonly #state: DurableState;
  readonly #book: ConflictBook;
  readonly #policy: () => Policy;
  readonly #listeners: Listeners;
  readonly #wall: () => number;

  /** Reads those that wait. */
  constructor({ state, book, policy, listeners, wall }: OpenConflictsDeps) {
    this.#state = state;
    this.#book = book;
    this.#policy = policy;
    this.#listeners = listeners;
    this.#wall = wall;
    for (const page of state.pages<ConflictRecord>('pending'))
      for (const [, conflict] of page) {
        // Once kept as conflicts.
        if (conflict.versions.some(({ data }) => data !== null)) book.restore(conflict, true);
      }
  }

  /** An event met what its author had not seen. */
  found(conflict: Omit<ConflictRecord, 'detectedAt'>, pending: boolean): void {
    const found = { ...conflict, detectedAt: this.#wall() };
    this.#book.add(found, pending);
    if (pending) this.#state.set('pending', conflict.entityId, found);
    this.#listeners.emit('conflictDetected', found);
  }

  /** Nothing is left to decide; `resolution`: it was written to that end. */
  settled(entityId: string, by: string, resolution: boolean): void {
    const wasPending = this.#book.isPending(entityId);
    if (!wasPending && !resolution) return;
    this.#book.settle(entityId);
    this.#state.set('pending', entityId, undefined);
    if (wasPending) this.#listeners.emit('conflictResolved', { entityId, by });
  }

  /** A record came whole: from a snapshot, or as a repair. */
  joined(entityId: string, { versions }: EntityRecord): void {
    if (!isOpen(versions, this.#policy())) {
      this.settled(entityId, versions[0]?.author ?? '', false);
      return;
    }
    const conflict = conflictOf(entityId, versions);
    if (this.#book.isPending(entityId) && namesOf(this.#book.get(entityId)) === namesOf(conflict)) return;
    const found = { ...conflict, detectedAt: this.#wall() };
    this.#book.restore(found, true);
    this.#state.set('pending', entityId, found);
    this.#listeners.emit('conflictDetected', found);
  }

  /** The entity is forgotten. */
  forgotten(entityId: string): void {
    if (!this.#book.isPending(entityId)) return;
    this.#book.settle(entityId);
    this.#state.set('pending', entityId, undefined);
  }
}

/** Which versions there are, in one order. */
function namesOf(conflict: Omit<ConflictRecord, 'detectedAt'> | undefined): string {
  return (conflict?.versions ?? [])
    .map(({ masterId, vectorClock }) => `${masterId} ${vectorClock[masterId]}`)
    .sort()
    .join();
}
