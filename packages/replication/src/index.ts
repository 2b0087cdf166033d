/** Keyed state on several nodes: the clocks that order its writes, values that merge, and conflict resolution. */

export {
  type CallOptions,
  type ClockComparisonReport,
  type ClockFinding,
  type ClockRow,
  type ConflictReport,
  type Decision,
  type Finding,
  type HotReport,
  type LagRow,
  type ManagedMaster,
  type ManagedReplica,
  type ManagerToServe,
  type MasterStatus,
  type NodeReport,
  type RecoverOptions,
  type RecoveryMode,
  type RecoveryReport,
  type ReplicaConflict,
  type ReplicaStatus,
  ReplicationAdmin,
  type ReplicationAdminOptions,
  type ReplicationResponder,
  type ReplicationStatus,
  type ReportedConflict,
  type Resolved,
  type ServeReplicationOptions,
  serveReplication,
} from './admin/index.ts';
export { type KvCheckpointOptions, kvCheckpoints } from './checkpoint/kv-checkpoints.ts';
export { HybridClock, type HybridClockOptions, type HybridClockStatus } from './clock/hybrid-clock.ts';
export {
  compareHybridTimestamps,
  formatHybridTimestamp,
  type HybridTimestamp,
  parseHybridTimestamp,
} from './clock/hybrid-timestamp.ts';
export { type ClockOrder, VectorClock, type VectorClockRecord } from './clock/vector-clock.ts';
export { CRDTMergeStrategy } from './conflict/crdt-merge.ts';
export { type CustomResolver, CustomResolverStrategy } from './conflict/custom.ts';
export type { ConflictEntry, ConflictResult, EntryClock, Resolution, ResolutionStrategy } from './conflict/entry.ts';
export { writeFields } from './conflict/field-clocks.ts';
export { type FieldMergeOptions, FieldMergeStrategy } from './conflict/field-merge.ts';
export type { FieldClocks } from './conflict/field-tree.ts';
export { LastWriteWinsStrategy } from './conflict/last-write-wins.ts';
export { ConflictResolver } from './conflict/resolver.ts';
export { VersionVectorStrategy } from './conflict/version-vector.ts';
export { EnableWinsFlag, type EnableWinsFlagState } from './crdt/enable-wins-flag.ts';
export { GCounter, type GCounterState } from './crdt/g-counter.ts';
export { GSet } from './crdt/g-set.ts';
export { LWWMap, type LWWMapState } from './crdt/lww-map.ts';
export { LWWRegister } from './crdt/lww-register.ts';
export { isMergeable, MERGEABLE, type Mergeable } from './crdt/mergeable.ts';
export { MVRegister, type MVRegisterState } from './crdt/mv-register.ts';
export { ORSet, type ORSetState } from './crdt/or-set.ts';
export { PNCounter, type PNCounterState } from './crdt/pn-counter.ts';
export { decodeRecord, encodeRecord, type RecordType, registerRecordType } from './crdt/record-codec.ts';
export { replicationErrors } from './errors.ts';
export {
  type BatchHandler,
  type CheckpointMode,
  type DeadLetter,
  type DeadLetterHandler,
  type DeliveryDecoder,
  type DurableDelivery,
  type DurableProgress,
  type DurableSource,
  DurableSubscriber,
  type DurableSubscriberConfig,
  deadLettersTo,
  decodeDelivery,
  type EffectTransaction,
  type ErrorHandler,
  type EventHandler,
  EventSubscriber,
  type EventSubscriberConfig,
  MemoryDurableSource,
  MemoryPipelineSource,
  type MemorySourceEvent,
  type SubscribeOptions,
  type SubscriberProgress,
  type SubscriberStats,
} from './event-subscriber/index.ts';
export { type HeartbeatOptions, type Heartbeats, kvHeartbeats } from './heartbeat/kv-heartbeats.ts';
export { type MemoryBeatFault, type MemoryHeartbeatOptions, MemoryHeartbeats } from './heartbeat/memory-heartbeats.ts';
export {
  BusProgressChannel,
  type DistributedLockService,
  type FollowElectionOptions,
  type FollowerInfo,
  type FollowerProgress,
  type FollowerState,
  followElection,
  formatSessionToken,
  type LeaderFollowerConfig,
  LeaderFollowerManager,
  type LeaderFollowerStatus,
  type LeaderState,
  type ManagerEvent,
  type ManagerEvents,
  type ManagerListener,
  MemoryProgressChannel,
  type NamespaceLock,
  type ProgressChannel,
  parseSessionToken,
  type QuorumCallback,
  ReadRouter,
  type RebuildOptions,
  type RecoveryProgress,
  ReplicationRole,
  type RoutedReadOptions,
  SessionConsistentClient,
  type SessionOptions,
  type SessionPosition,
  type SnapshotSettings,
  type SplitBrainReport,
  splitBrainReport,
  type WatchedElection,
  type WriteAck,
  type WriteErrorCode,
  type WriteOperation,
  type WriteOptions,
  type WriteRequest,
  type WriteResult,
} from './leader-follower/index.ts';
export { type EventLogOptions, openEventLog } from './log/jetstream-log.ts';
export { MemoryLog, type MemoryLogCall, type MemoryLogFault, type MemoryLogOptions } from './log/memory-log.ts';
export { JetStreamPipelineSource, jetStreamPipelineSource, type SourceAppend } from './log/pipeline-source.ts';
export {
  CLOCK_AHEAD,
  CLOCK_REJECTIONS,
  FOLLOWER_EVENTS,
  FOLLOWER_GAPS,
  FOLLOWER_LAG,
  LEADER_WRITES,
  LEADER_WRITES_REFUSED,
  LEADING,
  MASTER_CONFLICTS,
  MASTER_EVENTS,
  MASTER_EVICTED,
  MASTER_PENDING,
  MASTER_REJECTED,
  MASTER_UNSENT,
  MASTER_WAITING,
  MASTER_WRITES,
  REBUILDS,
  RECORDS_SKIPPED,
  SUBSCRIBER_EVENTS,
  SUBSCRIBER_LAG,
  SUBSCRIBER_PUSH_DROPPED,
  SUBSCRIBER_UNSETTLED,
} from './metrics.ts';
export {
  type ApplyResult,
  type ClockReport,
  type ConflictRecord,
  type ConflictStrategy,
  type ConflictVersion,
  type EntityToMerge,
  type HotEntity,
  type MasterEvent,
  type MasterEventName,
  type MasterEvents,
  type MasterListener,
  type MemberStatus,
  type MergeFn,
  type MultiMasterConfig,
  MultiMasterManager,
  type MultiMasterMetrics,
  type MultiMasterStatus,
  type WriteEvent,
  type WriteOptions as MasterWriteOptions,
  type WriteResult as MasterWriteResult,
} from './multi-master/index.ts';
export type {
  AtomicStore,
  AtomicStoreView,
  ScanOptions,
  SpaceMove,
  SpaceStore,
  StoreChange,
} from './ports/atomic-store.ts';
export type { CheckpointStore } from './ports/checkpoint-store.ts';
export {
  type AppendOptions,
  type AppendResult,
  type EventLog,
  type EventLogInfo,
  isEventLog,
  type Json,
  type LogEvent,
  type LogReadEvent,
  type ReadOptions,
} from './ports/event-log.ts';
export type { HeartbeatService } from './ports/heartbeat-service.ts';
export type { LeaderElection, LeaderTerm } from './ports/leadership.ts';
export {
  type FollowerPipeline,
  isSubscribablePipeline,
  type MultiMasterPipeline,
  type Pipeline,
  type SubscribablePipeline,
  sendOne,
} from './ports/pipeline.ts';
export type { PipelineSource, SourceBatch, SourceEvent } from './ports/pipeline-source.ts';
export type { SnapshotInfo, SnapshotStore } from './ports/snapshot-store.ts';
export {
  type DurableStateStore,
  type Entity,
  isDurableStateStore,
  type ReplicaPosition,
  type StateChange,
  type StateManager,
  type StateSnapshot,
  type StateStore,
} from './ports/state-store.ts';
export { blobSnapshots, type SnapshotOptions } from './snapshots/blob-snapshots.ts';
export { MemorySnapshots } from './snapshots/memory-snapshots.ts';
export { type CheckpointsOptions, MemoryCheckpointStore, sqliteCheckpoints } from './store/checkpoints.ts';
export { MemoryStateStore } from './store/memory-state-store.ts';
export { type CommitFault, MemoryStore, type MemoryStoreOptions } from './store/memory-store.ts';
export { SqliteStore, type SqliteStoreOptions, type StoreDurability } from './store/sqlite-store.ts';
export { StateHash, stateHash } from './store/state-hash.ts';
export {
  type AtomicStateManager,
  memoryStateManager,
  type StateManagerOptions,
  stateManager,
} from './store/state-manager.ts';
export { type AtomicStateStore, type StateStoreOptions, stateStore } from './store/state-store.ts';
export type { Stamp } from './values/stamp.ts';
