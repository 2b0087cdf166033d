/**
 * A master's own events that have not come back from the log, in its store. In memory are the hybrid times of those that are on their way, so
 * that what comes back is compared without a look into the store. Invariant: what is in memory is in the store, or on its way out of it.
 */
import type { StoreChange } from '../ports/atomic-store.ts';
import { type DurableState, numberKey, put } from './durable-state.ts';
import type { MasterEvent } from './event.ts';
import type { NumberedEvent } from './event-pack.ts';

/** Beyond it the store is asked. */
const TIMES_MAX = 16_384;

export class Outbox {
  readonly #state: DurableState;
  /** Of events that are on their way: number → hybrid time. */
  readonly #times = new Map<number, string>();

  constructor(state: DurableState) {
    this.#state = state;
  }

  /** The change that adds it. */
  added(number: number, event: MasterEvent): StoreChange {
    // A later life of this master goes on where the log stands, which may be below what was sent.
    this.#times.delete(number);
    return put('outbox', numberKey(number), event);
  }

  /** Those behind a number, oldest first, at most `limit`. */
  after(number: number, limit: number): NumberedEvent[] {
    const page = this.#state.first<MasterEvent>('outbox', limit, numberKey(number));
    return page.map(([key, event]) => ({ number: Number(key), event }));
  }

  /** These go to the log now. */
  sending(events: readonly NumberedEvent[]): void {
    for (const { number, event } of events)
      if (event.hlc !== undefined && this.#times.size < TIMES_MAX) this.#times.set(number, event.hlc);
  }

  /** The hybrid time of an event that is in the outbox; undefined: it is not there. */
  timeOf(number: number): string | undefined {
    return this.#times.get(number) ?? this.#state.get<MasterEvent>('outbox', numberKey(number))?.hlc;
  }

  /** Takes it off, with the next commit. */
  takeOff(number: number): void {
    this.#times.delete(number);
    this.#state.set('outbox', numberKey(number), undefined);
  }
}
