/** What a leader asks itself: am I healthy, is the lease still mine. Either may end its term, neither can extend it. */
import type { Clock, Logger, TaskGroup } from '@canopy/core';
import type { Kv } from '@canopy/nats';
import type { ElectionReason, Leadership } from './api.ts';
import { HEALTH_CHECK_MS, HealthMonitor } from './health.ts';
import type { ElectionMetrics } from './metrics.ts';
import type { ResolvedElectionOptions } from './options.ts';
import { type TokenProblem, TokenValidation, VALIDATION_MS } from './token-validation.ts';

export interface SelfCheckPorts {
  readonly options: ResolvedElectionOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ElectionMetrics;
  readonly leadership: () => Leadership | undefined;
  /** Give the term up, and rest. */
  readonly leave: (reason: ElectionReason, holdOffMs: number) => void;
}

export class SelfChecks {
  readonly #ports: SelfCheckPorts;
  readonly #health: HealthMonitor | undefined;
  #validation: TokenValidation | undefined;

  constructor(ports: SelfCheckPorts) {
    this.#ports = ports;
    const { healthChecker, failuresMax, rules } = ports.options;
    if (healthChecker === undefined) return;
    // Until the next check, and a little more.
    const restMs = 2 * rules.heartbeatMs + HEALTH_CHECK_MS;
    this.#health = new HealthMonitor(healthChecker, {
      clock: ports.clock,
      log: ports.log,
      failuresMax,
      onUnhealthy: () => ports.leave('health_check_failure', Math.max(rules.holdOffMs, restMs)),
      onStillUnhealthy: () => ports.leave('health_check_failure', restMs),
    });
  }

  /** A heartbeat is about to be sent; it does not wait. */
  beat(): void {
    void this.#health?.beat();
  }

  /** A new term begins. */
  reset(): void {
    this.#health?.reset();
  }

  begin(kv: Kv, tasks: TaskGroup): void {
    const { options, clock, log, metrics, leadership, leave } = this.#ports;
    const { validationMs, rules } = options;
    const onInvalid = (): void => leave('token_validation_failure', rules.holdOffMs);
    const validation = new TokenValidation({ clock, log, metrics, kv, leadership, onInvalid });
    this.#validation = validation;
    if (validationMs > 0) tasks.run('validation', (stopped) => validation.run(validationMs, stopped));
    if (this.#health !== undefined) tasks.run('health', (stopped) => this.#checkWhileResting(stopped));
  }

  /** Undefined when the lease is ours. Rejects when the bucket does not answer within `timeoutMs` (2 s). */
  async look(timeoutMs: number = VALIDATION_MS): Promise<TokenProblem | undefined> {
    return this.#validation === undefined ? 'not_leader' : this.#validation.look(timeoutMs);
  }

  /** Nobody heartbeats then, so the checks have a rhythm of their own. */
  async #checkWhileResting(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#ports.clock.sleep(this.#ports.options.rules.heartbeatMs, { signal });
      if (this.#health?.resting) await this.#health.beat();
    }
  }
}
