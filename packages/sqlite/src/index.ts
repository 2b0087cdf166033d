/** SQLite databases copied page by page to standbys through NATS, restorable, promotable in place. */
export { sqlite } from './database/database.ts';
export type { SqliteOptions } from './database/options.ts';
export { sqliteErrors } from './errors.ts';
export type { EntryKind, LogEntry } from './log/names.ts';
export { type LogEnd, SegmentLog, type SegmentLogOptions } from './log/segment-log.ts';
export { type Restored, type RestoreOptions, type RestoreProgress, restore } from './restore/restore.ts';
