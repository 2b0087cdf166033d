/**
 * Looks at the lease to see whether it still carries our token. Invariant: only a look that was answered says anything;
 * one that failed changes nothing, because the lease's own deadline already bounds what may be believed.
 */
import { type Clock, type Logger, messageOf, withDeadline } from '@canopy/core';
import type { Kv } from '@canopy/nats';
import type { Leadership } from './api.ts';
import { sightingOf } from './lease/sighting.ts';
import type { ElectionMetrics } from './metrics.ts';

/** Why the lease is not ours. */
export type TokenProblem = 'not_leader' | 'no_key' | 'released' | 'malformed' | 'token_mismatch' | 'leader_mismatch';

/** Default bound on one look. */
export const VALIDATION_MS = 2000;

export interface TokenValidationPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ElectionMetrics;
  readonly kv: Kv;
  readonly leadership: () => Leadership | undefined;
  /** The lease is certainly not ours: give the term up. */
  readonly onInvalid: () => void;
}

export class TokenValidation {
  readonly #ports: TokenValidationPorts;
  #failures = 0;

  constructor(ports: TokenValidationPorts) {
    this.#ports = ports;
  }

  /** Undefined when the lease is ours. Rejects when the bucket does not answer in time. */
  async look(timeoutMs: number): Promise<TokenProblem | undefined> {
    const { clock, log, metrics, kv } = this.#ports;
    const term = this.#ports.leadership();
    if (term === undefined) return 'not_leader';
    try {
      const entry = await withDeadline(clock, 'token validation', timeoutMs, kv.get(term.group, { timeoutMs }));
      const problem = entry === undefined ? 'no_key' : problemOf(sightingOf(entry), term);
      if (problem === undefined && this.#failures > 0)
        log.debug('token_validation_recovered', { failures: this.#failures });
      this.#failures = problem === undefined ? 0 : this.#failures + 1;
      if (problem === undefined) return term.isValid() ? undefined : 'not_leader';
      metrics.validationFailed();
      log.warn('token_validation_failed', { problem });
      return problem;
    } catch (error) {
      this.#failures += 1;
      metrics.validationFailed();
      log.warn('token_validation_failed', { problem: 'unreadable', error: messageOf(error), failures: this.#failures });
      throw error;
    }
  }

  /** Looks every `intervalMs` while leading, until the signal aborts. */
  async run(intervalMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#ports.clock.sleep(intervalMs, { signal });
      if (this.#ports.leadership() === undefined) continue;
      const problem = await this.look(Math.min(VALIDATION_MS, intervalMs)).catch(() => undefined);
      if (problem !== undefined && problem !== 'not_leader' && !signal.aborted) this.#ports.onInvalid();
    }
  }
}

function problemOf({ content, lease }: ReturnType<typeof sightingOf>, term: Leadership): TokenProblem | undefined {
  if (content === 'released') return 'released';
  if (lease === undefined) return 'malformed';
  if (lease.token !== term.token) return 'token_mismatch';
  return lease.id === term.instanceId ? undefined : 'leader_mismatch';
}
