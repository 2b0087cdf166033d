/**
 * A subscriber whose position the server keeps: it fetches from a durable pull consumer, and answers each delivery when the work is done. Invariant: a
 * delivery is acknowledged only after its callback ended well (with a store: after its effects were committed), and given up only after a dead letter
 * was taken; whatever else happens, it comes again.
 */
import {
  type Duration,
  type Env,
  Lifecycle,
  type OptionReader,
  resolveOptions,
  systemEnv,
  TaskGroup,
  withDeadline,
} from '@canopy/core';
import { SUBSCRIBER_LAG } from '../metrics.ts';
import type { SourceEvent } from '../ports/pipeline-source.ts';
import { type HandlingConfig, type ResolvedHandling, readHandling } from './config.ts';
import { type DeliveryDecoder, decodeDelivery, undecodable } from './durable-event.ts';
import type { DurableDelivery, DurableSource } from './durable-source.ts';
import type { SubscriberStats } from './event-subscriber.ts';
import { Handling, type Run } from './handling.ts';
import { IdempotencyWindow } from './idempotency-window.ts';
import { Rate } from './progress.ts';

export interface DurableSubscriberConfig extends HandlingConfig {
  /** Default: JSON; see `decodeDelivery`. What it throws on becomes a dead letter after `maxRetries` deliveries. */
  readonly decode?: DeliveryDecoder | undefined;
  /** How long one fetch waits for events. Default 5 s. */
  readonly fetchWait?: Duration | undefined;
  /** How often the server hears that a slow handler is still at it. Below the consumer's ack wait, a third of it at best. Default 10 s. */
  readonly workingInterval?: Duration | undefined;
  /** How long `stop()` waits for the handler under way. Default 10 s. */
  readonly closeTimeout?: Duration | undefined;
}

export interface DurableProgress {
  readonly consumer: string;
  /** Never delivered. */
  readonly pending: number;
  /** Delivered, and not done with. */
  readonly ackPending: number;
  readonly lag: number;
  readonly ratePerSecond: number | undefined;
  /** By the present rate; undefined without one. */
  readonly timeLeftMs: number | undefined;
  readonly caughtUp: boolean;
  readonly paused: boolean;
}

interface Resolved extends ResolvedHandling {
  readonly decode: DeliveryDecoder;
  readonly fetchWaitMs: number;
  readonly workingIntervalMs: number;
  readonly closeTimeoutMs: number;
}

/** One delivery with its event, on its way. */
interface Work {
  readonly delivery: DurableDelivery;
  readonly event: SourceEvent;
  /** Tells this delivery from all others, also of a stream that was made anew. */
  readonly id: string;
  answered: boolean;
}

/** Deliveries that are remembered as done with, for acknowledgements that got lost. */
const DELIVERIES_MAX = 20_000;
/** Answers that may be on their way, beyond one batch, when more is fetched. */
const ANSWERS_MAX = 1000;
/** Events whose failures are counted here. */
const FAILING_MAX = 10_000;
/** Failures are counted by each process from none; one that fails after this many times `maxRetries` deliveries is given up all the same. */
const DELIVERIES_PER_RETRY = 10;

export class DurableSubscriber extends Lifecycle {
  readonly #source: DurableSource;
  readonly #config: Resolved;
  readonly #env: Env;
  readonly #handling: Handling;
  readonly #deliveries: IdempotencyWindow;
  /** How often each failed here: a delivery that came again unasked, as after a crash, is no failure. */
  readonly #failures = new Map<string, number>();
  readonly #rate: Rate;
  readonly #tasks: TaskGroup;
  /** Answers on their way to the server. */
  readonly #answers = new Set<Promise<void>>();
  #resumed = Promise.withResolvers<void>();
  #paused = false;
  #busy: Promise<void> | undefined;
  /** The handler that outlived `stop()` has no claim any more: its deliveries may go to others. */
  #released = false;

  /** Throws OPTIONS_INVALID. */
  constructor(source: DurableSource, config: DurableSubscriberConfig, env: Env = systemEnv()) {
    super('durable subscriber');
    this.#source = source;
    this.#env = env;
    this.#config = resolveOptions('DurableSubscriber', config, resolve);
    this.#handling = new Handling(this.#config, env);
    this.#deliveries = new IdempotencyWindow(env.clock, Number.POSITIVE_INFINITY, DELIVERIES_MAX);
    this.#handling.ledger?.loadKeys('delivery', this.#deliveries);
    this.#rate = new Rate(env.clock);
    this.#tasks = new TaskGroup((error) => this.fail(error));
  }

  get stats(): SubscriberStats {
    const { eventsProcessed, batchesProcessed, lastProcessedOffset } = this.#handling;
    return { eventsProcessed, batchesProcessed, lastProcessedOffset };
  }

  get idempotencyStats(): { trackedKeys: number; duplicatesSkipped: number } {
    return { trackedKeys: this.#handling.window.size, duplicatesSkipped: this.#handling.duplicatesSkipped };
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Begins no further event; what was fetched is handed back. Resolves when none is under way. */
  async pause(): Promise<void> {
    if (!this.#paused) this.#resumed = Promise.withResolvers();
    this.#paused = true;
    await this.#busy;
  }

  resume(): void {
    this.#paused = false;
    this.#resumed.resolve();
  }

  /** Asks the server. Throws what it throws. */
  async progress(): Promise<DurableProgress> {
    const { pending, ackPending } = await this.#source.info();
    const lag = pending + ackPending;
    const { namespace } = this.#config;
    this.#env.metrics.gauge(SUBSCRIBER_LAG).set(lag, { namespace, topic: this.#source.name });
    const ratePerSecond = this.#rate.perSecond();
    const timeLeftMs = lag === 0 ? 0 : ratePerSecond ? (lag * 1000) / ratePerSecond : undefined;
    const { name: consumer } = this.#source;
    return { consumer, pending, ackPending, lag, ratePerSecond, timeLeftMs, caughtUp: lag === 0, paused: this.#paused };
  }

  protected async onStart(): Promise<void> {
    this.#tasks.run('fetch', (signal) => this.#run(signal));
  }

  protected async onStop(): Promise<void> {
    const { clock } = this.#env;
    const stopped = this.#tasks.stop().then(() => Promise.all(this.#answers));
    await withDeadline(clock, 'stop the subscriber', this.#config.closeTimeoutMs, stopped).catch((error: Error) =>
      this.#handling.report(error),
    );
    this.#released = true;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#env;
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let failures = 0; !signal.aborted; ) {
      if (this.#paused) {
        await Promise.race([this.#resumed.promise, aborted]);
        continue;
      }
      try {
        const { batchSize: max, fetchWaitMs: waitMs } = this.#config;
        while (this.#answers.size > max + ANSWERS_MAX) await Promise.race(this.#answers);
        const deliveries = await this.#source.fetch({ max, waitMs, signal });
        failures = 0;
        this.#busy = this.#take(deliveries, signal);
        await this.#busy;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#handling.report(error as Error);
        await clock.sleep(this.#handling.delayMs(failures), { signal }).catch(() => {});
      }
      this.#busy = undefined;
    }
  }

  async #take(deliveries: readonly DurableDelivery[], signal: AbortSignal): Promise<void> {
    const works = deliveries.map((delivery) => this.#open(delivery));
    const stopTelling = this.#keepTelling(works);
    try {
      const fresh: Work[] = [];
      for (const work of works) {
        if (signal.aborted || this.#paused) break;
        if (work.event.verb === 'undecodable') await this.#failed(work, new Error('the event can not be decoded'));
        else if (this.#isDone(work, fresh)) this.#skip(work);
        else if (this.#config.onBatch === undefined) await this.#one(work);
        else if (await this.#before(work)) fresh.push(work);
      }
      if (fresh.length > 0) await this.#many(fresh);
    } finally {
      stopTelling();
      for (const { delivery, answered } of works) if (!answered) delivery.nak(0);
    }
  }

  #open(delivery: DurableDelivery): Work {
    const id = `${this.#source.name}#${delivery.sequence}@${delivery.storedAt}`;
    try {
      return { delivery, event: this.#config.decode(delivery), id, answered: false };
    } catch {
      return { delivery, event: undecodable(delivery), id, answered: false };
    }
  }

  #isDone({ event, id }: Work, fresh: readonly Work[]): boolean {
    const key = this.#handling.keyOf(event);
    const twin = key !== undefined && fresh.some((other) => this.#handling.keyOf(other.event) === key);
    return twin || this.#deliveries.has(id) || this.#handling.isDuplicate(event);
  }

  #skip(work: Work): void {
    this.#handling.count('duplicate', this.#source.name);
    this.#answer(work, 'ack');
  }

  async #one(work: Work): Promise<void> {
    try {
      const run = this.#handling.runEvent(work.event);
      await run.ended;
      this.#settle([work], run);
    } catch (error) {
      return this.#failed(work, error as Error);
    }
    this.#answer(work, 'ack');
  }

  /** `onEvent` of an event that `onBatch` gets, too. */
  async #before(work: Work): Promise<boolean> {
    if (this.#config.onEvent === undefined) return true;
    try {
      await this.#handling.runEvent(work.event).ended;
      return true;
    } catch (error) {
      await this.#failed(work, error as Error);
      return false;
    }
  }

  async #many(works: readonly Work[]): Promise<void> {
    try {
      const run = this.#handling.runBatch(works.map(({ event }) => event));
      await run.ended;
      this.#settle(works, run);
      this.#handling.batchesProcessed += 1;
    } catch (error) {
      for (const work of works) await this.#failed(work, error as Error);
      return;
    }
    for (const work of works) this.#answer(work, 'ack');
  }

  /** Effects, keys and deliveries in one commit. */
  #settle(works: readonly Work[], run: Run): void {
    const handling = this.#handling;
    const keys = works.flatMap(({ event }) => handling.keyOf(event) ?? []);
    const ids = works.map(({ id }) => id);
    const remembered = [
      { kind: 'key', window: handling.window, keys },
      { kind: 'delivery', window: this.#deliveries, keys: ids },
    ] as const;
    handling.ledger?.commitKeys(run.effects?.close() ?? [], remembered, this.#env.clock.wall());
    for (const { window, keys: added } of remembered) for (const key of added) window.add(key);
    handling.count('handled', this.#source.name, works.length);
    handling.lastProcessedOffset = works.at(-1)?.event.offset;
    this.#rate.add(works.length);
  }

  async #failed(work: Work, error: Error): Promise<void> {
    const { delivery, event } = work;
    const { name } = this.#source;
    this.#handling.count('failed', name);
    this.#handling.report(error, event);
    const failures = (this.#failures.get(work.id) ?? 0) + 1;
    const { maxRetries } = this.#config;
    const last = failures >= maxRetries || delivery.attempt >= DELIVERIES_PER_RETRY * maxRetries;
    this.#failures.delete(work.id);
    if (last && (await this.#handling.bury(name, event, error, delivery.attempt))) {
      this.#handling.count('dead_letter', name);
      this.#deliveries.add(work.id);
      this.#answer(work, 'term');
      return;
    }
    this.#failures.set(work.id, failures);
    const [oldest] = this.#failures.keys();
    if (oldest !== undefined && this.#failures.size > FAILING_MAX) this.#failures.delete(oldest);
    work.answered = true;
    delivery.nak(this.#handling.delayMs(failures));
  }

  /**
   * The work is done, so a lost answer is only a repetition, which is recognised. Not waited for: after the server's death an answer to what it no
   * longer knows takes as long as the call may.
   */
  #answer(work: Work, how: 'ack' | 'term'): void {
    work.answered = true;
    this.#failures.delete(work.id);
    const answered: Promise<void> = work.delivery[how]()
      .catch((error: Error) => this.#handling.report(error, work.event))
      .finally(() => this.#answers.delete(answered));
    this.#answers.add(answered);
  }

  /** Tells the server again and again that these are not forgotten; returns what ends it. */
  #keepTelling(works: readonly Work[]): () => void {
    const { clock } = this.#env;
    const tell = (): void => {
      if (this.#released) return;
      for (const { delivery, answered } of works) if (!answered) delivery.working();
      timer = clock.timer(this.#config.workingIntervalMs, tell, { background: true });
    };
    let timer = clock.timer(this.#config.workingIntervalMs, tell, { background: true });
    return () => timer.cancel();
  }
}

function resolve(read: OptionReader): Resolved {
  return {
    ...readHandling(read),
    decode: read.any<DeliveryDecoder>('decode', { default: decodeDelivery }),
    fetchWaitMs: read.durationMs('fetchWait', { default: 5000, minMs: 1 }),
    workingIntervalMs: read.durationMs('workingInterval', { default: 10_000, minMs: 1 }),
    closeTimeoutMs: read.durationMs('closeTimeout', { default: 10_000 }),
  };
}
