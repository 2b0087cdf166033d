/** A term that the test ends. */
import { type Clock, type Epoch, epoch } from '@canopy/core';
import type { Leadership } from '@canopy/election';

export class FakeLeadership implements Leadership {
  readonly group = 'x';
  readonly instanceId = 'n1';
  readonly epoch: Epoch;
  readonly token = 'token';
  readonly acquiredAt: number;
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  until: number;

  constructor(clock: Clock, term = 1, leaseMs = 10_000) {
    this.#clock = clock;
    this.epoch = epoch(term);
    this.acquiredAt = clock.monotonic();
    this.until = this.acquiredAt + leaseMs;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  deadline(): number {
    return this.until;
  }

  isValid(): boolean {
    return !this.#ended.signal.aborted && this.#clock.monotonic() < this.until;
  }

  end(): void {
    this.#ended.abort(new Error('ended'));
  }
}
