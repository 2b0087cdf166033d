/** The log as its own parts see it: what append, follow and trim ask of it. `SegmentLog` is the one implementation. */
import type { LogEntry } from './names.ts';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface LogView {
  readonly bucket: string;
  /** Which log this is; undefined: not known yet. */
  readonly id: string | undefined;
  /** Throws SQLITE_LOG_LOST for an entry of another log; `after` is the last transaction of this one. */
  meet(entry: LogEntry, after: number): void;
  entry(txid: number, options?: CallOptions): Promise<LogEntry | undefined>;
  entries(from?: number, options?: CallOptions): Promise<LogEntry[]>;
  listEnd(options?: CallOptions): Promise<LogEntry | undefined>;
  snapshots(options?: CallOptions): Promise<LogEntry[]>;
  verify(name: string, options?: CallOptions): Promise<boolean>;
}
