/** Full images of a database, streamed from a stable view of its pages into the log. */
import type { Epoch } from '@canopy/core';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { encodeLtxSnapshot, type PageSource } from '../ltx/encoder.ts';
import type { PageEncoding } from '../ltx/header.ts';

export interface CreateSnapshotOptions {
  readonly log: SegmentLog;
  /** Must not change until the call settles: a standby between two batches, or a primary's read transaction. */
  readonly source: PageSource;
  /** The position that the view shows. */
  readonly txid: number;
  readonly epoch: Epoch;
  readonly node: string;
  /** Unix ms: of the entry at `txid`, so that restoring to a moment finds the right one. */
  readonly timestamp: number;
  readonly note?: string | undefined;
  /** Default block. */
  readonly pageEncoding?: PageEncoding;
  /** One that is there already for the position goes: it may be damaged. Default false: it is kept. */
  readonly replace?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called once every page was read and before anything can be seen in the log: what it throws keeps the image out of it. */
  readonly check?: (() => void) | undefined;
  /** Uncompressed bytes; called about every 256 KiB. */
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
}

/**
 * Stores the database as it stands as a level-9 object; see `replace` where there is one for the position. Memory: a few MiB plus
 * 4 bytes a page.
 */
export async function createSnapshot(options: CreateSnapshotOptions): Promise<LogEntry> {
  const { log, source, txid, replace = false, signal } = options;
  const header = {
    pageSize: source.pageSize,
    commit: source.pageCount,
    minTxid: 1,
    maxTxid: txid,
    timestamp: options.timestamp,
    walOffset: 0,
    walSize: 0,
    walSalt1: 0,
    walSalt2: 0,
  };
  let read = 0;
  const counted: PageSource = {
    pageSize: source.pageSize,
    pageCount: source.pageCount,
    read: (pgno) => {
      read = pgno;
      return source.read(pgno);
    },
  };
  async function* data(): AsyncGenerator<Uint8Array> {
    for await (const chunk of encodeLtxSnapshot(header, counted, options.pageEncoding)) {
      signal?.throwIfAborted();
      yield chunk;
      options.onProgress?.({ doneBytes: read * source.pageSize, totalBytes: source.pageCount * source.pageSize });
    }
    options.check?.();
  }
  return log.putSnapshot({ ...options, data: data() }, { signal, replace });
}
