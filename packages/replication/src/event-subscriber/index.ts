/** Event subscribers: `@canopy/replication/event-subscriber`. */
export type { PipelineSource, SourceBatch, SourceEvent } from '../ports/pipeline-source.ts';
export type {
  BatchHandler,
  CheckpointMode,
  ErrorHandler,
  EventHandler,
  EventSubscriberConfig,
  HandlingConfig,
  ResolvedSubscriberConfig,
  SubscribeOptions,
} from './config.ts';
export { type DeadLetter, type DeadLetterHandler, deadLettersTo } from './dead-letter.ts';
export { type DeliveryDecoder, decodeDelivery } from './durable-event.ts';
export type { DurableDelivery, DurableSource } from './durable-source.ts';
export { type DurableProgress, DurableSubscriber, type DurableSubscriberConfig } from './durable-subscriber.ts';
export type { EffectTransaction } from './effect-transaction.ts';
export { EventSubscriber, type SubscriberStats } from './event-subscriber.ts';
export { MemoryDurableSource } from './memory-durable-source.ts';
export { MemoryPipelineSource, type MemorySourceEvent } from './memory-source.ts';
export type { SubscriberProgress } from './progress.ts';
