/**
 * Self-monitoring of a leader. A check begins before each heartbeat and is bounded, and the heartbeat never waits for it:
 * the lease is renewed until the decision falls, so that a failing check can't let it run out under the leader.
 * After a demotion for ill health the instance rests until a check succeeds again.
 */
import { type Clock, type Logger, messageOf, withDeadline } from '@canopy/core';

/**
 * Whether this instance may go on leading. A rejection, and no answer within 100 ms, count as false; the signal aborts then.
 * While ten checks that were given up have not ended, no more are begun, and each counts as false: end when the signal
 * aborts.
 */
export type HealthCheck = (context: { readonly signal: AbortSignal }) => boolean | Promise<boolean>;
export type HealthChecker = HealthCheck | { check: HealthCheck };

/** Bound on one check. */
export const HEALTH_CHECK_MS = 100;
/** Checks that don't end hold on to whatever they hold on to. */
const PENDING_MAX = 10;

export interface HealthPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly failuresMax: number;
  /** Called once, when the last of `failuresMax` checks in a row has failed. */
  readonly onUnhealthy: () => void;
  /** A check failed during the rest that follows: stay away for longer. */
  readonly onStillUnhealthy: () => void;
}

export class HealthMonitor {
  readonly #check: HealthCheck;
  readonly #ports: HealthPorts;
  #failures = 0;
  #resting = false;
  #checking = false;
  /** Checks that have begun and not ended, given up or not. */
  #pending = 0;

  constructor(checker: HealthChecker, ports: HealthPorts) {
    this.#check = typeof checker === 'function' ? checker : (context) => checker.check(context);
    this.#ports = ports;
  }

  /** Demoted for ill health, and no check has succeeded since. */
  get resting(): boolean {
    return this.#resting;
  }

  /** A new term begins with a clean slate. */
  reset(): void {
    this.#failures = 0;
    this.#resting = false;
  }

  /** A heartbeat is about to be sent, or would be. One check at a time. Never rejects. */
  async beat(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    const problem = await this.#ask();
    this.#checking = false;
    if (problem === undefined) this.#passed();
    else this.#failed(problem);
  }

  #passed(): void {
    if (this.#failures > 0) this.#ports.log.debug('health_check_recovered', { failures: this.#failures });
    this.#failures = 0;
    this.#resting = false;
  }

  #failed(problem: string): void {
    const { log, failuresMax, onUnhealthy, onStillUnhealthy } = this.#ports;
    this.#failures += 1;
    if (this.#resting) {
      log.debug('health_check_failed', { problem, failures: this.#failures });
      onStillUnhealthy();
      return;
    }
    log.warn('health_check_failed', { problem, failures: this.#failures, failures_max: failuresMax });
    if (this.#failures < failuresMax) return;
    this.#resting = true;
    onUnhealthy();
  }

  /** Undefined when healthy. */
  async #ask(): Promise<string | undefined> {
    if (this.#pending >= PENDING_MAX) return `${PENDING_MAX} checks have not ended`;
    const giveUp = new AbortController();
    this.#pending += 1;
    try {
      const answer = (async () => this.#check({ signal: giveUp.signal }))().finally(() => {
        this.#pending -= 1;
      });
      const healthy = await withDeadline(this.#ports.clock, 'health check', HEALTH_CHECK_MS, answer);
      return healthy === true ? undefined : 'unhealthy';
    } catch (error) {
      return messageOf(error);
    } finally {
      giveUp.abort();
    }
  }
}
