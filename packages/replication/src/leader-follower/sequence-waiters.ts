/** Who waits until this replica has applied a sequence. At most `LIMIT` at a time; each with a bound of its own. */
import { type CanopyError, type Clock, coreErrors } from '@canopy/core';
import { replicationErrors } from '../errors.ts';

const LIMIT = 10_000;

interface Waiter {
  readonly sequence: number;
  settle(error?: CanopyError): void;
}

export class SequenceWaiters {
  readonly #waiters = new Set<Waiter>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws DEADLINE_EXCEEDED, REPLICA_CLOSED, or REPLICA_BUSY when too many wait. */
  async wait(sequence: number, applied: number, timeoutMs: number): Promise<void> {
    if (sequence <= applied) return;
    if (this.#waiters.size >= LIMIT) throw replicationErrors.create('REPLICA_BUSY', { what: 'waits', limit: LIMIT });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const expired = coreErrors.create('DEADLINE_EXCEEDED', { operation: `wait for sequence ${sequence}`, timeoutMs });
    const timer = this.#clock.timer(timeoutMs, () => waiter.settle(expired));
    const waiter: Waiter = {
      sequence,
      settle: (error) => {
        this.#waiters.delete(waiter);
        timer.cancel();
        if (error === undefined) resolve();
        else reject(error);
      },
    };
    this.#waiters.add(waiter);
    await promise;
  }

  reached(applied: number): void {
    for (const waiter of [...this.#waiters]) if (waiter.sequence <= applied) waiter.settle();
  }

  close(error: CanopyError): void {
    for (const waiter of [...this.#waiters]) waiter.settle(error);
  }
}
