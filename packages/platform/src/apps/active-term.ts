/**
 * The term in which this node serves: what the proxy asks before it sends a request to the backend and before it lets an
 * answer go. Invariant: `confirm` resolves only with proof (a sync made while the database was primary under this term's
 * epoch) or, where there is nothing to prove, while the lease holds by the clock.
 */
import { abortable, type Clock, type Promotable } from '@canopy/core';
import type { Leadership } from '@canopy/election';
import type { ServingTerm } from '../proxy/target.ts';

export class ActiveTerm implements ServingTerm {
  readonly epoch: number;
  readonly backend: string;
  readonly #leadership: Leadership;
  readonly #database: Promotable | undefined;
  readonly #clock: Clock;
  #isLeaving = false;
  #isOver = false;

  /** `database` only where writes are to be confirmed as replicated. */
  constructor(options: { leadership: Leadership; backend: string; database: Promotable | undefined; clock: Clock }) {
    this.epoch = options.leadership.epoch;
    this.backend = options.backend;
    this.#leadership = options.leadership;
    this.#database = options.database;
    this.#clock = options.clock;
  }

  /** Also true while a planned step-down lets requests under way end: the lease is still being renewed then. */
  isValid(): boolean {
    if (this.#isOver) return false;
    if (this.#leadership.isValid()) return true;
    return this.#isLeaving && this.#clock.monotonic() < this.#leadership.deadline();
  }

  /** A planned step-down has begun. */
  leave(): void {
    this.#isLeaving = true;
  }

  /** From now on nothing that this term did can be confirmed any more. */
  end(): void {
    this.#isOver = true;
  }

  async confirm(signal: AbortSignal): Promise<void> {
    if (this.#isOver) throw new Error('this node has stepped down since');
    if (this.#database === undefined) {
      if (!this.isValid()) throw new Error('the lease has run out');
      return;
    }
    // The log takes entries of a deposed epoch from nobody, so a sync under our epoch is proof whatever the clock says.
    await abortable(this.#database.sync({ signal }), signal);
  }
}
