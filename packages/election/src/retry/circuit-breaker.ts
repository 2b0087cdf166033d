/**
 * Against retry storms: after `threshold` failures in a row calls are refused at once for `cooldownMs`; then one is let
 * through, and its outcome decides. Invariant: while open nothing is called, while half open one call at a time.
 */
import type { Clock } from '@canopy/core';
import { electionErrors } from '../errors.ts';

export interface CircuitBreakerOptions {
  /** For the message. */
  readonly name: string;
  /** Failures in a row that open it. Default 5. */
  readonly threshold?: number;
  /** Default 5 s. */
  readonly cooldownMs?: number;
  /** What counts; an error that says no for good is an answer, too. Default: every rejection. */
  readonly isFailure?: (error: unknown) => boolean;
}

export type CircuitState = 'closed' | 'open' | 'half-open';

export class CircuitBreaker {
  readonly #clock: Clock;
  readonly #name: string;
  readonly #threshold: number;
  readonly #cooldownMs: number;
  readonly #isFailure: (error: unknown) => boolean;
  #failures = 0;
  #openUntil: number | undefined;
  #probing = false;
  /** How often it has opened. */
  #opened = 0;

  constructor(options: CircuitBreakerOptions, clock: Clock) {
    this.#clock = clock;
    this.#name = options.name;
    this.#threshold = options.threshold ?? 5;
    this.#cooldownMs = options.cooldownMs ?? 5000;
    this.#isFailure = options.isFailure ?? (() => true);
  }

  get state(): CircuitState {
    if (this.#openUntil === undefined) return 'closed';
    return this.#clock.monotonic() < this.#openUntil ? 'open' : 'half-open';
  }

  /** Settles as `work` does; CIRCUIT_OPEN without calling it while open, or while another call is the probe. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { state } = this;
    if (state === 'open' || this.#probing) throw this.#refusal();
    const probes = state === 'half-open';
    this.#probing = probes;
    const opened = this.#opened;
    let failed = false;
    try {
      return await work();
    } catch (error) {
      failed = this.#isFailure(error);
      throw error;
    } finally {
      // A call that began before the breaker opened says nothing about now.
      if (opened === this.#opened) this.#settle(probes, failed);
    }
  }

  #settle(probed: boolean, failed: boolean): void {
    if (probed) this.#probing = false;
    this.#failures = failed ? this.#failures + 1 : 0;
    if (!failed) this.#openUntil = undefined;
    else if (probed || this.#failures >= this.#threshold) {
      this.#openUntil = this.#clock.monotonic() + this.#cooldownMs;
      this.#opened += 1;
    }
  }

  #refusal(): Error {
    const retryInMs = Math.max(0, Math.round((this.#openUntil ?? 0) - this.#clock.monotonic()));
    return electionErrors.create('CIRCUIT_OPEN', { name: this.#name, retryInMs });
  }
}
