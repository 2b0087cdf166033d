/**
 * How far one topic is. Invariant: everything before `floor` is done with; between it and `position` the events that failed wait in `unsettled` and
 * all others are done with, once the events in hand are.
 */
import { abortable } from '@canopy/core';
import { SUBSCRIBER_UNSETTLED } from '../metrics.ts';
import type { PipelineSource, SourceEvent } from '../ports/pipeline-source.ts';
import type { CheckpointWriter } from './checkpoint-writer.ts';
import type { ResolvedSubscriberConfig } from './config.ts';
import type { Handling, Run } from './handling.ts';
import { progressOf, Rate, type SubscriberProgress } from './progress.ts';
import { type Entry, Unsettled } from './unsettled.ts';

export interface TopicSetup {
  readonly topic: string;
  readonly source: PipelineSource;
  readonly handling: Handling;
  readonly config: ResolvedSubscriberConfig;
  readonly batchSize: number;
  /** A checkpoint after each batch. */
  readonly autoCheckpoint: boolean;
  /** A checkpoint at intervals and at the end. */
  readonly storesAtEnd: boolean;
  readonly position: number;
  /** Offsets beyond the position that are done with, from the ledger. */
  readonly done: Set<number>;
  readonly checkpoints: CheckpointWriter | undefined;
  readonly signal: AbortSignal;
}

export class TopicState {
  readonly setup: TopicSetup;
  readonly unsettled: Unsettled;
  /** The next offset to read. */
  position: number;
  /** The last read came to the end. */
  atEnd = false;
  readonly #start: number;
  readonly #rate: Rate;
  readonly #labels: { readonly namespace: string; readonly topic: string };
  #tookAny = false;
  /** The floor that the store of effects has. */
  #committed: number;

  constructor(setup: TopicSetup) {
    this.setup = setup;
    this.position = setup.position;
    this.#start = setup.position;
    this.#committed = setup.position;
    this.#rate = new Rate(setup.handling.env.clock);
    this.unsettled = new Unsettled(setup.config.maxAhead);
    this.#labels = { namespace: setup.config.namespace, topic: setup.topic };
  }

  /** Everything before this is done with: what a checkpoint may say. */
  get floor(): number {
    return Math.min(this.unsettled.first?.offset ?? this.position, this.position);
  }

  /** Moves; events that failed are let go: they are read again, or not wanted. */
  seek(offset: number): void {
    const { handling, topic, done } = this.setup;
    handling.ledger?.move(topic, offset, done);
    this.position = offset;
    this.#committed = offset;
    this.unsettled.clear();
    this.atEnd = false;
    this.#gauge();
  }

  end(): void {
    this.setup.handling.env.metrics.gauge(SUBSCRIBER_UNSETTLED).remove(this.#labels);
  }

  /** The event, when it is to be handled; undefined when it is done with already. */
  judge(event: SourceEvent, from: number, twin = false): Entry | undefined {
    const { handling, topic, done } = this.setup;
    const entry = this.unsettled.open(event);
    this.#tookAny = true;
    if (twin || handling.isDuplicate(event)) {
      handling.count('duplicate', topic);
      return undefined;
    }
    if (event.offset < from || done.has(event.offset)) return undefined;
    return entry;
  }

  /** An attempt failed: dead letter, skip, or another attempt later. */
  async failed(entry: Entry, error: Error, reported = false): Promise<void> {
    const { handling, config, topic } = this.setup;
    entry.attempts += 1;
    handling.count('failed', topic);
    if (!reported) handling.report(error, entry.event);
    const skip = config.failedEvents === 'skip';
    const buried =
      !skip && entry.attempts >= config.maxRetries && (await handling.bury(topic, entry.event, error, entry.attempts));
    if (skip || buried) {
      try {
        this.settle([entry]);
        handling.count(skip ? 'skipped' : 'dead_letter', topic);
        return;
      } catch (fault) {
        handling.report(fault as Error, entry.event);
      }
    }
    entry.dueAt = handling.env.clock.monotonic() + handling.delayMs(entry.attempts);
    this.unsettled.add(entry);
    this.#gauge();
  }

  /** These are done with. Throws what the store of effects throws; then nothing has changed. */
  settle(entries: readonly Entry[], run?: Run): void {
    const { handling, topic, done } = this.setup;
    const last = entries.at(-1)?.event.offset ?? 0;
    const position = Math.max(this.position, last + 1);
    const floor = Math.min(this.unsettled.firstWithout(entries) ?? position, position);
    const settled = entries.map(({ event }) => ({ topic, offset: event.offset, floor, key: handling.keyOf(event) }));
    handling.settle(settled, run?.effects, done);
    this.#committed = floor;
    if (this.unsettled.remove(entries)) this.#gauge();
    handling.lastProcessedOffset = last;
  }

  /** Callbacks ended well. */
  handled(events: number): void {
    this.setup.handling.count('handled', this.setup.topic, events);
    this.#rate.add(events);
  }

  /** Undefined when there is nothing to wait for. */
  checkpoint(): Promise<void> | undefined {
    const { checkpoints, autoCheckpoint, handling, topic, done } = this.setup;
    if (!autoCheckpoint || !this.#tookAny) return undefined;
    const { floor } = this;
    if (handling.ledger !== undefined && floor > this.#committed) {
      try {
        handling.ledger.advance(topic, floor, done);
        this.#committed = floor;
      } catch (error) {
        handling.report(error as Error);
      }
    }
    return checkpoints?.write(floor);
  }

  /** Stores what is done with, unless that is left to the caller or has not changed. Never rejects. */
  async storeCheckpoint(): Promise<void> {
    const { storesAtEnd, checkpoints } = this.setup;
    if (storesAtEnd && this.#tookAny) await checkpoints?.write(this.floor);
  }

  async progress(signal: AbortSignal, paused: boolean): Promise<SubscriberProgress> {
    const { source, topic } = this.setup;
    const latest = await abortable(source.getLatestOffset(topic), signal).catch(() => undefined);
    return progressOf({
      topic,
      start: Math.min(this.#start, this.position),
      position: this.position,
      latest: Number.isFinite(latest) ? latest : undefined,
      atEnd: this.atEnd,
      unsettled: this.unsettled.size,
      paused,
      ratePerSecond: this.#rate.perSecond(),
    });
  }

  #gauge(): void {
    this.setup.handling.env.metrics.gauge(SUBSCRIBER_UNSETTLED).set(this.unsettled.size, this.#labels);
  }
}
