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
    this.#probing = state === 'half-open';
    try {
      const result = await work();
      this.#close();
      return result;
    } catch (error) {
      if (this.#isFailure(error)) this.#failed(state);
      else this.#close();
      throw error;
    }
  }

  #close(): void {
    this.#failures = 0;
    this.#openUntil = undefined;
    this.#probing = false;
  }

  #failed(before: CircuitState): void {
    this.#failures += 1;
    this.#probing = false;
    if (before === 'half-open' || this.#failures >= this.#threshold)
      this.#openUntil = this.#clock.monotonic() + this.#cooldownMs;
  }

  #refusal(): Error {
    const retryInMs = Math.max(0, Math.round((this.#openUntil ?? 0) - this.#clock.monotonic()));
    return electionErrors.create('CIRCUIT_OPEN', { name: this.#name, retryInMs });
  }
}
