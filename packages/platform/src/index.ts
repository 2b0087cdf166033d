/** Nodes that share a NATS system and run apps. */
export { App } from './apps/app.ts';
export type {
  AppHooks,
  Hook,
  HookContext,
  HookFunction,
  LeaderChangeContext,
  TermHookContext,
} from './apps/hooks.ts';
export { type AppElectionOptions, type AppMode, type AppOptions, singleton } from './apps/options.ts';
export type { AppStatus, ProxyStatus } from './apps/status.ts';
export type { TimelineEntry, TimelineEventName } from './apps/timeline.ts';
export { type AppInstance, type AppOverview, type CallOptions, ControlClient } from './control/client.ts';
export type { DatabaseClient, NodeDivergences } from './control/database-client.ts';
export type {
  AppMethods,
  DatabaseSynced,
  DivergencePiece,
  KeptDivergence,
  MemberView,
  NodeMethods,
  NodeStatus,
  SteppedDown,
  WalView,
} from './control/protocol.ts';
export { AppDatabase, type TransactionOptions } from './database/app-database.ts';
export type {
  AppSnapshots,
  RestoredDatabase,
  RestorePoint,
  RestoreProgress,
  Snapshot,
  SnapshotRestoreOptions,
} from './database/app-snapshots.ts';
export type { AppWal, WalStats } from './database/app-wal.ts';
export type { ConfirmOptions } from './database/confirmation.ts';
export { platformErrors } from './errors.ts';
export { PromMetrics } from './http/prom-metrics.ts';
export type { NodeLoad } from './members/load.ts';
export type { Member, MemberEvent, MemberHealth } from './members/machine.ts';
export type { AppRole, MemberApp, MemberProcess, MemberRecord } from './members/record.ts';
export { PLATFORM_VERSION, type PlatformOptions } from './node/options.ts';
export { Platform } from './node/platform.ts';
export type { ProxyOptions } from './proxy/options.ts';
export { controlSubject, electionBucket, membersBucket } from './resources.ts';
