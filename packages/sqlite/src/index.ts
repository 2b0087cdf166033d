/** SQLite databases copied page by page to standbys through NATS, restorable, promotable in place. */
export { sqlite } from './database/database.ts';
export type { SqliteOptions } from './database/options.ts';
export { sqliteErrors } from './errors.ts';
export type { EntryKind, LogEntry } from './log/names.ts';
export { type LogEnd, SegmentLog, type SegmentLogOptions } from './log/segment-log.ts';
export type { RestoreTarget } from './restore/plan.ts';
export type { Restored, RestoreProgress } from './restore/restore.ts';
export { Primary, type PrimaryOptions } from './standalone/primary.ts';
export { Replica, type ReplicaOptions } from './standalone/replica.ts';
export { type RestoreOptions, restore } from './standalone/restore.ts';
export { openLog, parseStore, type StoreOption } from './standalone/store-option.ts';
export { DirectoryStore, type DirectoryStoreOptions } from './store/directory-store.ts';
