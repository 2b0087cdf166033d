/**
 * A master's own events that have not come back from the log, in its store. In memory are fingerprints of those that are on their way, so
 * that what comes back is compared without a look into the store. Invariant: what is in memory is in the store, or on its way out of it.
 * Whole events are compared: a store that is an older copy of itself gives the same hybrid times again where the wall clock is behind them.
 */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { StoreChange } from '../ports/atomic-store.ts';
import { type DurableState, numberKey, put } from './durable-state.ts';
import type { MasterEvent } from './event.ts';
import type { NumberedEvent } from './event-pack.ts';

/** Beyond it the store is asked. */
const PRINTS_MAX = 16_384;

export class Outbox {
  readonly #state: DurableState;
  /** Of events that are on their way: number → fingerprint. */
  readonly #prints = new Map<number, string>();

  constructor(state: DurableState) {
    this.#state = state;
  }

  /** The change that adds it. */
  added(number: number, event: MasterEvent): StoreChange {
    // A later life of this master goes on where the log stands, which may be below what was sent.
    this.#prints.delete(number);
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
      if (this.#prints.size < PRINTS_MAX) this.#prints.set(number, printOf(event));
  }

  /** What the log has under this number, beside what is here: `none` when nothing is. */
  compare(number: number, event: unknown): 'none' | 'same' | 'other' {
    const print = this.#prints.get(number);
    if (print !== undefined && print === printOf(event)) return 'same';
    const mine = this.#state.get<MasterEvent>('outbox', numberKey(number));
    if (mine === undefined) return 'none';
    // Stores and logs may keep the properties of a record in an order of their own.
    return isSameJson(mine, event) ? 'same' : 'other';
  }

  /** Takes it off, with the next commit. */
  takeOff(number: number): void {
    this.#prints.delete(number);
    this.#state.set('outbox', numberKey(number), undefined);
  }
}

function printOf(event: unknown): string {
  return hash('sha256', JSON.stringify(event), 'base64');
}

/** Whatever the order of properties. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(asJson(a), asJson(b));
}

function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
