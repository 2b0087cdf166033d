/**
 * What is done with events, wherever they come from: the callbacks, what they may not do twice, what their failures lead to. One of these serves all
 * topics of a subscriber. Invariant: an event counts as handled only after its callback ended well, and, with a store, after its effects
 * were committed.
 */
import { backoffMs, type Counter, type Env, messageOf } from '@canopy/core';
import { SUBSCRIBER_EVENTS } from '../metrics.ts';
import type { SourceEvent } from '../ports/pipeline-source.ts';
import type { ResolvedHandling } from './config.ts';
import { EffectLedger, type Settlement } from './effect-ledger.ts';
import { NO_EFFECTS, PendingEffects } from './effect-transaction.ts';
import { IdempotencyWindow } from './idempotency-window.ts';

export type Outcome = 'handled' | 'duplicate' | 'failed' | 'dead_letter' | 'skipped';

/** A callback under way: `ended` is undefined when it has ended already, so that nothing waits without need. */
export interface Run {
  readonly effects: PendingEffects | undefined;
  readonly ended: Promise<void> | undefined;
}

const RETRY_MAX_MS = 30_000;

export class Handling {
  readonly config: ResolvedHandling;
  readonly env: Env;
  readonly window: IdempotencyWindow;
  readonly ledger: EffectLedger | undefined;
  readonly #events: Counter;
  duplicatesSkipped = 0;
  eventsProcessed = 0;
  batchesProcessed = 0;
  lastProcessedOffset: number | undefined;

  constructor(config: ResolvedHandling, env: Env) {
    this.config = config;
    this.env = env;
    this.window = new IdempotencyWindow(env.clock, config.idempotencyWindowMs, config.maxIdempotencyKeys);
    this.ledger = config.effectStore === undefined ? undefined : new EffectLedger(config.effectStore, config.namespace);
    this.#events = env.metrics.counter(SUBSCRIBER_EVENTS);
    if (config.enableIdempotency) this.ledger?.loadKeys('key', this.window);
  }

  /** The key to remember an event by; undefined when it has none or keys are off. */
  keyOf(event: SourceEvent): string | undefined {
    if (!this.config.enableIdempotency || event.idempotencyKey === undefined) return undefined;
    return this.ledger === undefined ? event.idempotencyKey : this.ledger.keyOf(event.idempotencyKey);
  }

  isDuplicate(event: SourceEvent): boolean {
    const key = this.keyOf(event);
    return key !== undefined && this.window.has(key);
  }

  /** Calls `onEvent`. Throws, or `ended` rejects, when it fails. */
  runEvent(event: SourceEvent): Run {
    return this.#run((tx) => this.config.onEvent?.(event, tx));
  }

  runBatch(events: readonly SourceEvent[]): Run {
    return this.#run((tx) => this.config.onBatch?.(events, tx));
  }

  #run(call: (tx: PendingEffects | typeof NO_EFFECTS) => void | Promise<void>): Run {
    const effects = this.ledger === undefined ? undefined : new PendingEffects(this.ledger.store);
    const result: unknown = call(effects ?? NO_EFFECTS);
    const waits = typeof (result as PromiseLike<void> | undefined)?.then === 'function';
    return { effects, ended: waits ? Promise.resolve(result as PromiseLike<void>) : undefined };
  }

  /** Events are done with: their keys are remembered, with a store in one commit with effects and positions. Throws what the store throws. */
  settle(settled: readonly Settlement[], effects: PendingEffects | undefined, done: Set<number>): void {
    const keys = settled.flatMap(({ key }) => (key === undefined ? [] : [key]));
    const remembered = [{ kind: 'key', window: this.window, keys }] as const;
    this.ledger?.commit(effects?.close() ?? [], settled, done, remembered, this.env.clock.wall());
    for (const key of keys) this.window.add(key);
  }

  count(outcome: Outcome, topic: string, events = 1): void {
    if (outcome === 'duplicate') this.duplicatesSkipped += events;
    if (outcome === 'handled') this.eventsProcessed += events;
    this.#events.add(events, { namespace: this.config.namespace, topic, outcome });
  }

  /** Tells of a failure. */
  report(error: Error, event?: SourceEvent): void {
    const { log } = this.env;
    const where = event === undefined ? {} : { topic: event.topic, offset: event.offset };
    log.warn('subscriber_failure', { ...where, error: messageOf(error) });
    const failed = (fault: unknown): void => log.error('subscriber_error_handler_failed', { error: messageOf(fault) });
    try {
      const result: unknown = this.config.onError?.(error, event);
      // Not waited for; its failure must not end the process.
      if (typeof (result as PromiseLike<void> | undefined)?.then === 'function')
        (result as PromiseLike<void>).then(undefined, failed);
    } catch (fault) {
      failed(fault);
    }
  }

  /** Hands an event over as a dead letter; whether it was taken. */
  async bury(topic: string, event: SourceEvent, error: Error, attempts: number): Promise<boolean> {
    const { deadLetter, namespace } = this.config;
    if (deadLetter === undefined) return false;
    try {
      await deadLetter({ namespace, topic, event, error, attempts, failedAt: this.env.clock.wall() });
      this.env.log.error('subscriber_dead_letter', { topic, offset: event.offset, attempts, error: messageOf(error) });
      return true;
    } catch (fault) {
      this.report(fault as Error, event);
      return false;
    }
  }

  /** The pause after this many attempts. */
  delayMs(attempts: number): number {
    const { retryDelay } = this.config;
    const maxMs = Math.max(retryDelay, RETRY_MAX_MS);
    return backoffMs(attempts - 1, { initialMs: retryDelay, maxMs, jitter: 0.1 }, this.env.random);
  }
}
