/**
 * A master's own events that the log has not confirmed, in its store. In memory are the hybrid times of those that are being sent,
 * so that what comes back from the log is compared without a look into the store. Invariant: nothing below `#from` is in the outbox.
 */
import type { StoreChange } from '../ports/atomic-store.ts';
import { type DurableState, numberKey, put } from './durable-state.ts';
import type { MasterEvent } from './event.ts';
import type { NumberedEvent } from './event-pack.ts';

export class Outbox {
  readonly #state: DurableState;
  /** Of the last batch: number → hybrid time. */
  readonly #sending = new Map<number, string | undefined>();
  #from = 0;
  #to = 0;

  constructor(state: DurableState) {
    this.#state = state;
  }

  /** The change that adds it. */
  added(number: number, event: MasterEvent): StoreChange {
    // A later life of this master goes on where the log stands, which may be below what was sent.
    this.#from = Math.min(this.#from, number);
    this.#sending.delete(number);
    return put('outbox', numberKey(number), event);
  }

  /** The first of them, at most `limit`. */
  batch(limit: number): NumberedEvent[] {
    const page = this.#state.first<MasterEvent>('outbox', limit);
    const batch = page.map(([key, event]) => ({ number: Number(key), event }));
    this.#sending.clear();
    for (const { number, event } of batch) this.#sending.set(number, event.hlc);
    const [first, last] = [batch[0], batch.at(-1)];
    if (first !== undefined && last !== undefined) [this.#from, this.#to] = [first.number, last.number];
    return batch;
  }

  /** Takes these off: the log has them. Commits. */
  taken(numbers: readonly number[]): void {
    this.#state.flush(numbers.map((number) => put('outbox', numberKey(number), undefined)));
    const had = this.#sending.size > 0;
    for (const number of numbers) this.#sending.delete(number);
    // All of the batch, and it began with the first there was.
    if (had && this.#sending.size === 0) this.#from = Math.max(this.#from, this.#to + 1);
  }

  /** The hybrid time of an event that is in the outbox; undefined: it is not there. */
  timeOf(number: number): string | undefined {
    if (number < this.#from) return undefined;
    if (this.#sending.has(number)) return this.#sending.get(number);
    return this.#state.get<MasterEvent>('outbox', numberKey(number))?.hlc;
  }
}
