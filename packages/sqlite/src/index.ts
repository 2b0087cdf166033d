/** SQLite databases copied page by page to standbys through NATS, restorable, promotable in place. */
export { sqlite } from './database/database.ts';
export { type ResolvedSqliteOptions, resolveSqliteOptions, type SqliteOptions } from './database/options.ts';
export { realDatabasePath } from './database/real-path.ts';
export type { DivergenceFacts } from './divergence/facts.ts';
export {
  type ChangesPiece,
  type DivergenceChange,
  type DivergenceSummary,
  deleteDivergence,
  describeDivergences,
  findDivergence,
  readChanges,
  showDivergence,
} from './divergence/listing.ts';
export { changeToSql } from './divergence/sql.ts';
export { sqliteErrors } from './errors.ts';
export type { EntryKind, LogEntry } from './log/names.ts';
export { type LogEnd, SegmentLog, type SegmentLogOptions } from './log/segment-log.ts';
export type { LevelSummary, LogProblem } from './log/summary.ts';
export { planRestore, type RestoreTarget } from './restore/plan.ts';
export type { Restored, RestoreProgress, RestoreSource } from './restore/restore.ts';
export { type NamedSnapshot, snapshotBucket } from './snapshots/snapshot.ts';
export { type CreateNamedOptions, SnapshotStore, type SnapshotStoreOptions } from './snapshots/snapshot-store.ts';
export { describeLog, type LogDescription } from './standalone/describe-log.ts';
export { endsPrimary, Primary, type PrimaryOptions } from './standalone/primary.ts';
export { Replica, type ReplicaOptions } from './standalone/replica.ts';
export { type RestoreOptions, restore } from './standalone/restore.ts';
export {
  type OpenedSnapshots,
  type OpenSnapshotsOptions,
  openSnapshots,
} from './standalone/snapshots.ts';
export { openLog, parseStore, type StoreOption } from './standalone/store-option.ts';
export { type VerifyOptions, verify } from './standalone/verify.ts';
export { DirectoryStore, type DirectoryStoreOptions } from './store/directory-store.ts';
export { readVerified, type Verified } from './verify/record.ts';
