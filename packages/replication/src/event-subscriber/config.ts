/**
 * What a subscriber is told at its making. Names and defaults up to `retryDelay` are those of the guide; what follows was added so that
 * nothing is lost, repeated or kept without bound.
 */
import { type Duration, resolveOptions } from '@canopy/core';
import type { AtomicStore } from '../ports/atomic-store.ts';
import type { CheckpointStore } from '../ports/checkpoint-store.ts';
import type { PipelineSource, SourceEvent } from '../ports/pipeline-source.ts';
import type { DeadLetterHandler } from './dead-letter.ts';
import type { EffectTransaction } from './effect-transaction.ts';

/**
 * When positions go to the checkpoint store. `auto`: after each batch, and each pushed event. `interval`: every `checkpointInterval`, and at the end.
 * `manual`: never but by `checkpoint()`.
 */
export type CheckpointMode = 'auto' | 'manual' | 'interval';

/** `tx` is there when `effectStore` is; without one a handler makes its effects itself. */
export type EventHandler = (event: SourceEvent, tx: EffectTransaction) => void | Promise<void>;
export type BatchHandler = (events: readonly SourceEvent[], tx: EffectTransaction) => void | Promise<void>;
export type ErrorHandler = (error: Error, event?: SourceEvent) => void | Promise<void>;

export interface HandlingConfig {
  readonly namespace: string;
  /** Called with each event, and waited for, before the next of its topic. */
  readonly onEvent?: EventHandler | undefined;
  /** Called with what was read at once, after `onEvent` for each, and waited for. Events whose `onEvent` failed come in a later batch. */
  readonly onBatch?: BatchHandler | undefined;
  /** Hears of every failure: of reading, of a handler (with its event), of storing a checkpoint. Not waited for; what it throws is logged. */
  readonly onError?: ErrorHandler | undefined;
  /** Events that are read at once. Default 100, at most 10,000. */
  readonly batchSize?: number | undefined;
  /** An event whose idempotency key was handled within the window is not handled again. Default false. */
  readonly enableIdempotency?: boolean | undefined;
  /** Default 60 s. */
  readonly idempotencyWindowMs?: number | undefined;
  /** Attempts: at reading before `poll()` rejects, at an event before it goes to `deadLetter`. Default 3. */
  readonly maxRetries?: number | undefined;
  /** Pause before the second attempt; doubles with each further one, up to 30 s. Default 100 ms. */
  readonly retryDelay?: Duration | undefined;
  /** Keys that are remembered; beyond it the oldest go, whatever their age. Default 100,000. */
  readonly maxIdempotencyKeys?: number | undefined;
  /** Takes events that failed `maxRetries` times. Once it resolved the event counts as done. Without it they are tried for ever. */
  readonly deadLetter?: DeadLetterHandler | undefined;
  /**
   * Makes effects exact: what a handler writes through `tx`, the event's key and its position are one commit of this store. Then one of
   * `onEvent` and `onBatch` may be given, not both.
   */
  readonly effectStore?: AtomicStore | undefined;
}

export interface EventSubscriberConfig extends HandlingConfig {
  /** Keys are topics. May be left out when there is an `effectStore`, which has the positions then. */
  readonly checkpointStore?: CheckpointStore | undefined;
  /** Pause between the reads that `start()` begins. Default 1 s. */
  readonly pollInterval?: Duration | undefined;
  readonly checkpointMode?: CheckpointMode | undefined;
  /** Default 5 s. */
  readonly checkpointInterval?: Duration | undefined;
  /**
   * `retry`: an event that failed holds the checkpoint and is tried again. `skip`: it is reported and counts as done, so it is lost unless `onError`
   * keeps it; for programs that rely on it. Default `retry`.
   */
  readonly failedEvents?: 'retry' | 'skip' | undefined;
  /**
   * How many events of a topic may be handled past one that failed, before the topic waits for it. 0: strictly in order. Default 10,000; it bounds
   * what is repeated after a restart.
   */
  readonly maxAhead?: number | undefined;
  /** Pushed events that wait while a handler runs or the topic is paused. What comes beyond is read from the source instead. Default 1000. */
  readonly pushBufferSize?: number | undefined;
  /** How long `close()` waits for handlers under way. Default 10 s. */
  readonly closeTimeout?: Duration | undefined;
}

export interface SubscribeOptions {
  /** The first offset wanted. Default: the checkpoint, else what the source says at connecting. */
  readonly fromOffset?: number;
  /** Events read at once from this topic. Default: the subscriber's. */
  readonly batchSize?: number;
  /** False: this topic's checkpoint is written by `checkpoint()` only. */
  readonly autoCheckpoint?: boolean;
}

export interface ResolvedHandling {
  readonly namespace: string;
  readonly onEvent: EventHandler | undefined;
  readonly onBatch: BatchHandler | undefined;
  readonly onError: ErrorHandler | undefined;
  readonly batchSize: number;
  readonly enableIdempotency: boolean;
  readonly idempotencyWindowMs: number;
  readonly maxRetries: number;
  readonly retryDelay: number;
  readonly maxIdempotencyKeys: number;
  readonly deadLetter: DeadLetterHandler | undefined;
  readonly effectStore: AtomicStore | undefined;
}

/** Durations in milliseconds. */
export interface ResolvedSubscriberConfig extends ResolvedHandling {
  readonly checkpointStore: CheckpointStore | undefined;
  readonly pollInterval: number;
  readonly checkpointMode: CheckpointMode;
  readonly checkpointInterval: number;
  readonly failedEvents: 'retry' | 'skip';
  readonly maxAhead: number;
  readonly pushBufferSize: number;
  readonly closeTimeout: number;
}

type Reader = Parameters<Parameters<typeof resolveOptions>[2]>[0];

/** The fields that both kinds of subscriber have. */
export function readHandling(read: Reader): ResolvedHandling {
  const handling: ResolvedHandling = {
    namespace: read.string('namespace', { required: true, lengthMax: 200 }),
    onEvent: read.any<EventHandler | undefined>('onEvent'),
    onBatch: read.any<BatchHandler | undefined>('onBatch'),
    onError: read.any<ErrorHandler | undefined>('onError'),
    batchSize: read.integer('batchSize', { default: 100, min: 1, max: 10_000 }),
    enableIdempotency: read.boolean('enableIdempotency', { default: false }),
    idempotencyWindowMs: read.durationMs('idempotencyWindowMs', { default: 60_000 }),
    maxRetries: read.integer('maxRetries', { default: 3, min: 1, max: 1000 }),
    retryDelay: read.durationMs('retryDelay', { default: 100 }),
    maxIdempotencyKeys: read.integer('maxIdempotencyKeys', { default: 100_000, min: 1, max: 10_000_000 }),
    deadLetter: read.any<DeadLetterHandler | undefined>('deadLetter'),
    effectStore: read.any<AtomicStore | undefined>('effectStore'),
  };
  for (const name of ['onEvent', 'onBatch', 'onError', 'deadLetter'] as const)
    read.check(handling[name] === undefined || typeof handling[name] === 'function', name, 'must be a function');
  const both = handling.onEvent !== undefined && handling.onBatch !== undefined;
  read.check(!(both && handling.effectStore !== undefined), 'effectStore', 'works with onEvent or onBatch, not both');
  return handling;
}

/** Throws OPTIONS_INVALID. The result is frozen. */
export function resolveSubscriberConfig(config: EventSubscriberConfig): ResolvedSubscriberConfig {
  return resolveOptions('EventSubscriber', config, (read) => {
    const resolved: ResolvedSubscriberConfig = {
      ...readHandling(read),
      checkpointStore: read.any<CheckpointStore | undefined>('checkpointStore'),
      pollInterval: read.durationMs('pollInterval', { default: 1000, minMs: 1 }),
      checkpointMode: read.oneOf('checkpointMode', ['auto', 'manual', 'interval'], { default: 'auto' }),
      checkpointInterval: read.durationMs('checkpointInterval', { default: 5000, minMs: 1 }),
      failedEvents: read.oneOf('failedEvents', ['retry', 'skip'], { default: 'retry' }),
      maxAhead: read.integer('maxAhead', { default: 10_000, min: 0, max: 1_000_000 }),
      pushBufferSize: read.integer('pushBufferSize', { default: 1000, min: 0, max: 1_000_000 }),
      closeTimeout: read.durationMs('closeTimeout', { default: 10_000 }),
    };
    const { checkpointStore, effectStore, checkpointMode } = resolved;
    read.check(checkpointStore !== undefined || effectStore !== undefined, 'checkpointStore', 'is required');
    const stores = typeof checkpointStore?.get === 'function' && typeof checkpointStore.set === 'function';
    read.check(checkpointStore === undefined || stores, 'checkpointStore', 'must have get() and set()');
    read.check(
      effectStore === undefined || checkpointMode === 'auto',
      'checkpointMode',
      'must be auto with an effectStore, which commits positions with effects',
    );
    return Object.freeze(resolved);
  });
}

/** What nothing goes without; the others are looked for when they are needed. */
const SOURCE_METHODS = ['connect', 'consume'] as const;

/** Throws OPTIONS_INVALID for what no events can be read from. */
export function requireSource(source: PipelineSource): void {
  resolveOptions('EventSubscriber', { source }, (read) => {
    const given = read.any<PipelineSource | undefined>('source');
    const missing = SOURCE_METHODS.filter((name) => typeof given?.[name] !== 'function');
    read.check(missing.length === 0, 'source', `must be a PipelineSource; it lacks ${missing.join(', ')}`);
  });
}

/** Throws OPTIONS_INVALID. */
export function requireOffset(call: string, offset: number): void {
  resolveOptions(call, { offset }, (read) => read.integer('offset', { required: true, min: 0 }));
}

/** Throws OPTIONS_INVALID. */
export function requireSubscribeOptions(options: SubscribeOptions): void {
  resolveOptions('subscribe', options, (read) => {
    read.integer('fromOffset', { min: 0 });
    read.integer('batchSize', { min: 1, max: 10_000 });
    read.boolean('autoCheckpoint', { default: true });
  });
}
