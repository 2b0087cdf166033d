/** Several masters that all take writes. */
export { VectorClock, type VectorClockRecord } from '../clock/vector-clock.ts';
export type { Entity, StateManager } from '../ports/state-store.ts';
export type { ConflictRecord, ConflictVersion, HotEntity } from './conflict-book.ts';
export type { ClockRecord, MasterEvent, MasterEvent as WriteEvent } from './event.ts';
export type { MasterEventName, MasterEvents, MasterListener } from './listeners.ts';
export { MultiMasterManager } from './manager.ts';
export type { MemberStatus } from './members.ts';
export type { MultiMasterConfig } from './options.ts';
export type { ConflictStrategy, EntityToMerge, MergeFn } from './policy.ts';
export type { ApplyResult } from './replica.ts';
export type { ClockReport, MultiMasterMetrics, MultiMasterStatus } from './status.ts';
export type { WriteOptions, WriteResult } from './write-options.ts';
