/** One node writes, the others follow: the manager of a node, reads over several, and sessions. */
export { BusProgressChannel } from './bus-progress.ts';
export type {
  DistributedLockService,
  LeaderFollowerConfig,
  QuorumCallback,
  SnapshotSettings,
} from './config.ts';
export type { ManagerEvent, ManagerEvents, ManagerListener } from './events.ts';
export { type FollowElectionOptions, followElection, type WatchedElection } from './follow-election.ts';
export type { FollowerInfo } from './follower-registry.ts';
export { LeaderFollowerManager } from './manager.ts';
export type { NamespaceLock } from './plain/namespace-locks.ts';
export { type FollowerProgress, MemoryProgressChannel, type ProgressChannel } from './progress-channel.ts';
export { ReadRouter, type RoutedReadOptions } from './reading/read-router.ts';
export { SessionConsistentClient, type SessionOptions } from './reading/session-client.ts';
export { formatSessionToken, parseSessionToken, type SessionPosition } from './reading/session-token.ts';
export type { RecoveryProgress } from './recovery-progress.ts';
export type { RebuildOptions } from './replica.ts';
export { ReplicationRole } from './replication-role.ts';
export {
  type FollowerState,
  type LeaderFollowerStatus,
  type LeaderState,
  type SplitBrainReport,
  splitBrainReport,
} from './status.ts';
export type {
  WriteAck,
  WriteErrorCode,
  WriteOperation,
  WriteOptions,
  WriteRequest,
  WriteResult,
} from './write-request.ts';
