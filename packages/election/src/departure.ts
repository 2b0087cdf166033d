/**
 * Giving a term up on purpose. Invariant: a call resolves only when the term has ended and its lease was given back, or is
 * another's already; a lease that was left to run out is an error, because nobody takes over before its ttl.
 */
import type { Leadership } from './api.ts';
import { checkedHandoff, checkedStepDown, type StepDownOptions } from './call-options.ts';
import type { Driver } from './driver.ts';
import { electionErrors } from './errors.ts';
import type { Leaving, Rules } from './machine/state.ts';

export interface DepartureParts {
  readonly group: string;
  readonly rules: Rules;
  readonly driver: Driver;
  /** The term that has begun and not ended, valid or not. */
  readonly term: () => Leadership | undefined;
}

export class Departure {
  readonly #parts: DepartureParts;

  constructor(parts: DepartureParts) {
    this.#parts = parts;
  }

  /** Begins to leave, whatever the state, with these changes to a plain step-down. */
  begin(change: Partial<Leaving>): void {
    const { driver, rules } = this.#parts;
    const plain: Leaving = {
      reason: 'step_down',
      holdOffMs: rules.holdOffMs,
      next: undefined,
      keepKey: false,
      final: false,
    };
    driver.feed({ type: 'leave', ...plain, ...change });
  }

  async stepDown(options: StepDownOptions): Promise<void> {
    await this.#leave('step down', checkedStepDown(options, this.#parts.rules.holdOffMs));
  }

  async handoff(to: string, options: { holdOffMs?: number }): Promise<void> {
    const { group, rules } = this.#parts;
    const { instanceId, holdOffMs, handoffWaitMs } = rules;
    const asked = checkedHandoff(to, options, holdOffMs);
    if (to === '' || to === instanceId)
      throw electionErrors.create('ELECTION_HANDOFF_TARGET', { group, instanceId, to });
    const rest = Math.max(asked.holdOffMs, 2 * handoffWaitMs);
    await this.#leave('hand off', { reason: 'handoff', holdOffMs: rest, next: to });
  }

  async #leave(action: string, change: Partial<Leaving>): Promise<void> {
    const { group, driver, rules } = this.#parts;
    const { instanceId } = rules;
    const term = this.#parts.term();
    if (!term?.isValid()) throw electionErrors.create('ELECTION_NOT_LEADER', { group, instanceId, action });
    this.begin(change);
    await driver.until((s) => s.term?.token !== term.token && s.demoting !== term.token);
    if (driver.state.unreleased === term.token)
      throw electionErrors.create('ELECTION_NOT_RELEASED', { group, instanceId, action });
  }
}
