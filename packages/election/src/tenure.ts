/**
 * The terms of one election, as its watchdog, its hooks and its user meet them. Invariant: the watchdog knows a lease
 * before its term begins and forgets it only after everything under it has ended.
 */
import { type Clock, type Logger, messageOf, withDeadline } from '@canopy/core';
import type { ElectionReason, LeaseWatchdog } from './api.ts';
import { electionErrors } from './errors.ts';
import type { Hooks } from './hooks.ts';
import { HeldLeadership } from './leadership.ts';
import { tokenDigest } from './lease/token-digest.ts';
import type { MachineEvent, Term } from './machine/state.ts';
import type { ElectionMetrics } from './metrics.ts';
import type { ResolvedElectionOptions } from './options.ts';

/** Ends of a term that nobody wished for have a line of their own. */
const LOUD: Readonly<Partial<Record<ElectionReason, string>>> = {
  lease_expired: 'demoting_due_to_heartbeat_failure',
  conflict: 'demoting_due_to_heartbeat_failure',
  key_deleted: 'demoting_due_to_heartbeat_failure',
  health_check_failure: 'demoting_due_to_health_check_failure',
  token_validation_failure: 'demoting_due_to_validation_failure',
  connection_loss: 'demoting_due_to_connection_loss',
  reconnect_verification_failed: 'demoting_due_to_reconnect_verification_failure',
};

export interface TenureContext {
  readonly options: ResolvedElectionOptions;
  readonly watchdog: LeaseWatchdog | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ElectionMetrics;
  readonly hooks: Hooks;
  /** Epochs up to it are used up, as a record outside of the key says. */
  readonly floor: () => Promise<number>;
  readonly feed: (event: MachineEvent) => void;
  /** The watchdog can't guard any more: give the term up. */
  readonly onUnguarded: () => void;
}

export class Tenure {
  readonly #context: TenureContext;
  #leadership: HeldLeadership | undefined;
  /** A term whose hooks still run: renewals go on meanwhile, and what ends under it may use the time they give. */
  #ending: HeldLeadership | undefined;
  #lastHeartbeat: number | undefined;
  #clearing: Promise<void> = Promise.resolve();
  /** Grows when a lease is given up: what was about to be told of it then is not. */
  #clears = 0;
  /** Ends the attention to the watchdog's `lost`, which is another signal after each `clear()`. */
  #watching: AbortController | undefined;

  constructor(context: TenureContext) {
    this.#context = context;
  }

  /** The term that has begun and not ended, valid or not. */
  get leadership(): HeldLeadership | undefined {
    return this.#leadership;
  }

  /** Monotonic ms of the last acknowledged renewal. */
  get lastHeartbeat(): number | undefined {
    return this.#lastHeartbeat;
  }

  /** Resolves when the watchdog has let go of the last lease; writes wait for it. Never rejects. */
  get cleared(): Promise<void> {
    return this.#clearing;
  }

  /** The lease is held: has the watchdog know before anything begins. */
  async guard(term: Term): Promise<void> {
    const { options, watchdog, clock, log, feed } = this.#context;
    const { ttlMs, marginMs } = options.rules;
    const { token } = term;
    const clears = this.#clears;
    try {
      const floor = await this.#context.floor();
      if (this.#clears !== clears) return;
      if (floor >= term.epoch) {
        log.warn('epoch_too_low', { epoch: term.epoch, floor });
        feed({ type: 'floor', epoch: floor });
        feed({ type: 'unguardable', token });
        return;
      }
      if (watchdog !== undefined) {
        await withDeadline(clock, 'watchdog', ttlMs - marginMs, watchdog.hold(this.#held(term)));
        this.#follow(watchdog);
      }
      feed({ type: 'guarded', token });
    } catch (error) {
      log.warn('watchdog_failed', { error: messageOf(error) });
      feed({ type: 'unguardable', token });
    }
  }

  promote(term: Term): void {
    const { options, clock, log, metrics, hooks } = this.#context;
    const leadership = new HeldLeadership(clock, options.group, options.rules.instanceId, term, () =>
      metrics.leadsNoMore(),
    );
    this.#leadership = leadership;
    this.#lastHeartbeat = term.acquiredAt;
    metrics.termBegan(term.deadline - clock.monotonic());
    log.info('leader_promoted', { epoch: term.epoch, token: tokenDigest(term.token), revision: term.revision });
    hooks.begin(leadership);
  }

  renewed(term: Term, tookMs: number): void {
    const { clock, metrics } = this.#context;
    const now = clock.monotonic();
    const leads = this.#leadership?.token === term.token;
    // While hooks run on after the term, renewals only keep others away.
    metrics.renewed(tookMs, leads ? term.deadline - now : undefined);
    if (leads) this.#lastHeartbeat = now;
    this.extended(term);
  }

  /** The deadline has moved, by a renewal or without. */
  extended(term: Term): void {
    const { watchdog, log, metrics } = this.#context;
    if (this.#leadership?.token === term.token) {
      this.#leadership.extend(term.deadline);
      metrics.leadsByPromise(term.covered === true);
    }
    if (this.#ending?.token === term.token) this.#ending.extend(term.deadline);
    if (term.guard === 'none') return;
    watchdog?.hold(this.#held(term)).catch((error: unknown) => {
      log.warn('watchdog_failed', { error: messageOf(error) });
      // What runs under the term may have been fenced already.
      if (this.#leadership?.token === term.token) this.#context.onUnguarded();
    });
  }

  /** Ends the term now, then runs its hooks and reports how they ended. */
  async demote(token: string, reason: ElectionReason): Promise<void> {
    const { hooks, feed } = this.#context;
    const leadership = this.end(reason);
    if (leadership === undefined) return;
    this.#ending = leadership;
    const clean = await hooks.end(leadership, reason);
    if (this.#ending === leadership) this.#ending = undefined;
    feed({ type: 'demoted', token, clean });
  }

  /** Nobody may act under the term from here on. */
  end(reason: ElectionReason): HeldLeadership | undefined {
    const { clock, log, metrics } = this.#context;
    const leadership = this.#leadership;
    if (leadership === undefined) return undefined;
    const { group, instanceId, epoch } = leadership;
    this.#leadership = undefined;
    leadership.end(electionErrors.create('ELECTION_LEADERSHIP_LOST', { group, instanceId, reason, epoch }));
    const ledMs = clock.monotonic() - leadership.acquiredAt;
    metrics.termEnded(ledMs);
    const loud = LOUD[reason];
    if (loud !== undefined) log.error(loud, { reason, epoch });
    log.info('leader_demoted', { reason, epoch, led_ms: Math.round(ledMs) });
    return leadership;
  }

  /** Nothing runs under the lease: the watchdog may forget it. */
  clear(): void {
    const { options, watchdog, clock, log } = this.#context;
    const { requestTimeoutMs } = options;
    this.#clears += 1;
    if (watchdog === undefined) return;
    this.#watching?.abort();
    this.#clearing = withDeadline(clock, 'watchdog', requestTimeoutMs, watchdog.clear()).catch((error: unknown) =>
      log.warn('watchdog_failed', { error: messageOf(error) }),
    );
  }

  #follow(watchdog: LeaseWatchdog): void {
    const { lost } = watchdog;
    lost.throwIfAborted();
    this.#watching?.abort();
    this.#watching = new AbortController();
    lost.addEventListener('abort', this.#context.onUnguarded, { once: true, signal: this.#watching.signal });
  }

  #held(term: Term): Parameters<LeaseWatchdog['hold']>[0] {
    const { bucket, group } = this.#context.options;
    return { bucket, key: group, revision: term.revision, deadline: term.deadline, token: term.token };
  }
}
