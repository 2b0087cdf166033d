/**
 * Reads events of topics and hands them to callbacks: by `poll()`, by the loop that `start()` begins, and as the source pushes them; of one topic
 * always one at a time. Invariant: a checkpoint that the subscriber writes by itself never lies beyond an event that is not done with.
 */
import { type Env, systemEnv, TaskGroup, type Timer, withDeadline } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import { SUBSCRIBER_LAG } from '../metrics.ts';
import type { PipelineSource } from '../ports/pipeline-source.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import {
  type EventSubscriberConfig,
  type ResolvedSubscriberConfig,
  requireOffset,
  requireSource,
  requireSubscribeOptions,
  resolveSubscriberConfig,
  type SubscribeOptions,
} from './config.ts';
import { Handling } from './handling.ts';
import type { SubscriberProgress } from './progress.ts';
import { TopicReader } from './topic-reader.ts';

export interface SubscriberStats {
  /** Events whose callbacks ended well. */
  readonly eventsProcessed: number;
  readonly batchesProcessed: number;
  /** Undefined before the first. */
  readonly lastProcessedOffset: number | undefined;
}

export class EventSubscriber implements AsyncDisposable {
  readonly #source: PipelineSource;
  readonly #config: ResolvedSubscriberConfig;
  readonly #env: Env;
  readonly #handling: Handling;
  readonly #controller = new AbortController();
  readonly #readers = new Map<string, TopicReader>();
  readonly #opening = new Set<string>();
  /** Topics given up whose last event is still being handled. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #loops: TaskGroup;
  readonly #checkpoints = new Map<string, CheckpointWriter>();
  #looping = false;
  #connected = false;
  #interval: Timer | undefined;
  #closing: Promise<void> | undefined;

  /** Throws OPTIONS_INVALID. Opens nothing. */
  constructor(source: PipelineSource, config: EventSubscriberConfig, env: Env = systemEnv()) {
    requireSource(source);
    this.#source = source;
    this.#config = resolveSubscriberConfig(config);
    this.#env = env;
    this.#handling = new Handling(this.#config, env);
    this.#loops = new TaskGroup((error, task) =>
      env.log.error('subscriber_loop_ended', { task, error: error.message }),
    );
  }

  /** Everything with its defaults, frozen; durations in milliseconds. */
  get config(): ResolvedSubscriberConfig {
    return this.#config;
  }

  get isSubscribed(): boolean {
    return this.#readers.size > 0;
  }

  get subscribedTopics(): string[] {
    return [...this.#readers.keys()];
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** A copy: idempotency keys that were handled, with the wall time (Unix ms) of it. */
  get seenIdempotencyKeys(): Map<string, number> {
    return this.#handling.window.snapshot();
  }

  /** `evictedKeys` had to go before the window ended: `maxIdempotencyKeys` is too small if it grows. */
  get idempotencyStats(): { trackedKeys: number; duplicatesSkipped: number; evictedKeys: number } {
    const { window, duplicatesSkipped } = this.#handling;
    return { trackedKeys: window.size, duplicatesSkipped, evictedKeys: window.evicted };
  }

  get stats(): SubscriberStats {
    const { eventsProcessed, batchesProcessed, lastProcessedOffset } = this.#handling;
    return { eventsProcessed, batchesProcessed, lastProcessedOffset };
  }

  isSubscribedTo(topic: string): boolean {
    return this.#readers.has(topic);
  }

  /**
   * Connects to a topic and takes what is pushed from now on; nothing is read before `poll()` or `start()`. Throws SUBSCRIBER_CLOSED,
   * SUBSCRIBER_TOPIC_TAKEN, OPTIONS_INVALID, and what the source or the checkpoint store throw.
   */
  async subscribe(topic: string, options: SubscribeOptions = {}): Promise<void> {
    this.#requireOpen();
    if (this.#readers.has(topic) || this.#opening.has(topic))
      throw replicationErrors.create('SUBSCRIBER_TOPIC_TAKEN', { topic });
    requireSubscribeOptions(options);
    this.#opening.add(topic);
    try {
      await this.#leaving.get(topic);
      const connection = await this.#source.connect(topic);
      this.#connected = true;
      const reader = await this.#open(topic, options, connection.offset);
      this.#requireOpen();
      this.#readers.set(topic, reader);
      this.#source.subscribe(topic, (event) => reader.push(event));
      if (this.#looping) this.#loop(reader);
      this.#armInterval();
    } finally {
      this.#opening.delete(topic);
      if (this.closed) await this.#disconnect();
    }
  }

  /** Gives up one topic, or all. The event that is being handled is finished. With the last topic the source is disconnected. */
  async unsubscribe(topic?: string): Promise<void> {
    for (const name of topic === undefined ? this.subscribedTopics : [topic]) {
      const reader = this.#readers.get(name);
      if (reader === undefined) continue;
      this.#readers.delete(name);
      this.#source.unsubscribe(name);
      reader.end();
      const left = this.#leave(reader).finally(() => this.#leaving.delete(name));
      this.#leaving.set(name, left);
    }
    if (this.#readers.size > 0 || this.#opening.size > 0) return;
    this.#interval?.cancel();
    this.#interval = undefined;
    await this.#disconnect();
  }

  /**
   * Reads all topics to their ends, one after another, and tries again the events that failed and are due. Attempts at reading follow at once; the loop
   * of `start()` waits between them. Rejects with the first failure of reading that was left, after the other topics were read.
   * Resolves without reading what is paused, and after `close()`. Not to be waited for inside a handler.
   */
  async poll(): Promise<void> {
    const failures: unknown[] = [];
    for (const reader of [...this.#readers.values()]) {
      if (this.closed) return;
      await reader.poll(false).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Polls by itself: each topic every `pollInterval`, sooner when a failed event is due, later (up to 30 s) while reading fails. */
  start(): void {
    this.#requireOpen();
    if (this.#looping) return;
    this.#looping = true;
    for (const reader of this.#readers.values()) this.#loop(reader);
  }

  /** Begins no further event, of a topic or of all. Resolves when none is under way; not to be waited for inside a handler. */
  async pause(topic?: string): Promise<void> {
    await Promise.all(this.#chosen(topic).map((reader) => reader.pause()));
  }

  /** Goes on where it paused. What was pushed meanwhile comes first; the rest with the next poll. */
  resume(topic?: string): void {
    for (const reader of this.#chosen(topic)) reader.resume();
  }

  isPaused(topic: string): boolean {
    return this.#readers.get(topic)?.paused === true;
  }

  /**
   * Reads a topic again from this offset, to its end. Keys that are remembered are still skipped. Not to be waited for inside a handler. Throws
   * SUBSCRIBER_TOPIC_UNKNOWN, OPTIONS_INVALID, and as `poll()`.
   */
  async replayFrom(topic: string, offset: number): Promise<void> {
    this.#requireOpen();
    const reader = this.#require(topic);
    requireOffset('replayFrom', offset);
    await reader.seek(offset);
    await reader.poll(false);
  }

  /** The next offset to read after a restart; null when none is stored. */
  async getCheckpoint(topic: string): Promise<number | null> {
    const floor = this.#handling.ledger?.topic(topic).floor;
    return floor ?? (await this.#config.checkpointStore?.get(topic)) ?? null;
  }

  /** Stores this as the next offset to read, whatever was handled. Rejects with OPTIONS_INVALID, and what the store says. */
  async checkpoint(topic: string, offset: number): Promise<void> {
    requireOffset('checkpoint', offset);
    const { ledger } = this.#handling;
    ledger?.move(topic, offset, this.#readers.get(topic)?.setup.done ?? ledger.topic(topic).done);
    await this.#checkpointsOf(topic)?.demand(offset);
  }

  /** Forgets the idempotency keys that are older than the window; returns how many. */
  cleanupIdempotencyKeys(): number {
    const gone = this.#handling.window.cleanup();
    this.#handling.ledger?.forgetKeys(gone);
    return gone.length;
  }

  /** How far each topic is. Asks the source for its end. */
  async progress(): Promise<SubscriberProgress[]> {
    const all = await Promise.all([...this.#readers.values()].map((reader) => reader.progress()));
    const lag = this.#env.metrics.gauge(SUBSCRIBER_LAG);
    for (const { topic, lag: events } of all)
      if (events !== undefined) lag.set(events, { namespace: this.#config.namespace, topic });
    return all;
  }

  /**
   * Ends: no further event is begun, those under way are waited for (`closeTimeout`), then positions are stored, except in manual mode.
   * Idempotent; never rejects.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#interval?.cancel();
    const readers = [...this.#readers.values()];
    this.#controller.abort(new DOMException('closed', 'AbortError'));
    await this.unsubscribe().catch((error: Error) => this.#handling.report(error));
    if (readers.some((reader) => reader.isBusy) || this.#leaving.size > 0) {
      const left = Promise.all(this.#leaving.values());
      await withDeadline(this.#env.clock, 'close the subscriber', this.#config.closeTimeout, left).catch(
        (error: Error) => this.#handling.report(error),
      );
    }
    await this.#loops.stop();
  }

  async #open(topic: string, options: SubscribeOptions, first: number): Promise<TopicReader> {
    const config = this.#config;
    const facts = this.#handling.ledger?.topic(topic);
    const checkpoints = this.#checkpointsOf(topic);
    let position = options.fromOffset ?? facts?.floor;
    if (position === undefined) {
      const stored = await config.checkpointStore?.get(topic);
      position = stored ?? first ?? 0;
    }
    const done = facts?.done ?? new Set<number>();
    if (options.fromOffset !== undefined && facts?.floor !== options.fromOffset)
      this.#handling.ledger?.move(topic, options.fromOffset, done);
    return new TopicReader({
      topic,
      source: this.#source,
      handling: this.#handling,
      config,
      batchSize: options.batchSize ?? config.batchSize,
      autoCheckpoint: config.checkpointMode === 'auto' && options.autoCheckpoint !== false,
      storesAtEnd: config.checkpointMode !== 'manual' && options.autoCheckpoint !== false,
      position,
      done,
      checkpoints,
      signal: this.#controller.signal,
    });
  }

  #checkpointsOf(topic: string): CheckpointWriter | undefined {
    const { checkpointStore } = this.#config;
    if (checkpointStore === undefined) return undefined;
    const known = this.#checkpoints.get(topic);
    if (known !== undefined) return known;
    const writer = new CheckpointWriter(checkpointStore, topic, (error) => this.#handling.report(error));
    this.#checkpoints.set(topic, writer);
    return writer;
  }

  /** Waits for the last event of a topic and stores where it got to. */
  async #leave(reader: TopicReader): Promise<void> {
    if (reader.isBusy) await reader.idle();
    await reader.storeCheckpoint();
  }

  async #disconnect(): Promise<void> {
    if (!this.#connected) return;
    this.#connected = false;
    await this.#source.disconnect();
  }

  #armInterval(): void {
    if (this.#config.checkpointMode !== 'interval' || this.#interval !== undefined || this.closed) return;
    const tick = (): void => {
      for (const reader of this.#readers.values()) void reader.storeCheckpoint();
      this.#interval = this.#env.clock.timer(this.#config.checkpointInterval, tick, { background: true });
    };
    this.#interval = this.#env.clock.timer(this.#config.checkpointInterval, tick, { background: true });
  }

  #loop(reader: TopicReader): void {
    const { clock } = this.#env;
    this.#loops.run(reader.setup.topic, async () => {
      for (let failures = 0; !reader.ended; ) {
        await reader.poll(true).then(
          () => {
            failures = 0;
          },
          () => {
            failures += 1;
          },
        );
        const pauseMs = failures > 0 ? Math.max(this.#config.pollInterval, this.#handling.delayMs(failures)) : 0;
        const untilDue = reader.paused ? Number.POSITIVE_INFINITY : Math.max(1, reader.dueAt - clock.monotonic());
        const ms = Math.max(pauseMs, Math.min(this.#config.pollInterval, untilDue));
        await clock.sleep(ms, { signal: reader.signal }).catch(() => {});
      }
    });
  }

  #chosen(topic: string | undefined): TopicReader[] {
    return topic === undefined ? [...this.#readers.values()] : [this.#require(topic)];
  }

  #require(topic: string): TopicReader {
    const reader = this.#readers.get(topic);
    if (reader === undefined) throw replicationErrors.create('SUBSCRIBER_TOPIC_UNKNOWN', { topic });
    return reader;
  }

  #requireOpen(): void {
    if (this.closed) throw replicationErrors.create('SUBSCRIBER_CLOSED', { namespace: this.#config.namespace });
  }
}
