/**
 * Objects of a log in order, fetched before their turn comes: what a round trip takes is waited for once per window, not
 * once per object. Bounded in number and in stored bytes; nothing is inflated before its turn, so that what compresses
 * well takes no more memory. A failure shows at the turn of the object that it belongs to, whatever arrived earlier.
 */
import type { DecodedLtx } from '../ltx/decoder.ts';
import type { LogEntry } from './names.ts';
import type { CallOptions } from './view.ts';

/** Larger objects (stored bytes) are not fetched whole: their reader streams them. */
const SMALL_BYTES = 1024 * 1024;
/** Objects under way or waiting for their turn, and what they may have together unless it is one. */
const AHEAD_MAX = 32;
const AHEAD_BYTES = 8 * 1024 * 1024;

export interface FetchOptions extends CallOptions {
  /** Bound on the stored bytes: BLOB_TOO_LARGE. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Known size: gives the transfer its time. */
  readonly size?: number;
}

/** An object of the log in memory, as it is stored. */
export interface FetchedEntry {
  readonly entry: LogEntry;
  readonly bytes: Uint8Array;
  /** Verifies and inflates. Throws SQLITE_LTX_INVALID. */
  decode(): DecodedLtx;
}

export interface EntrySource {
  /** The object of that name; undefined when it is not there. Throws BLOB_CORRUPT and what reading throws. */
  fetchEntry(name: string, options?: FetchOptions): Promise<FetchedEntry | undefined>;
}

/** An object whose turn it is. */
export interface EntryTurn {
  readonly entry: LogEntry;
  /** Undefined: it is large and was not fetched. Resolves with undefined when it is not there any more. */
  readonly fetched: Promise<FetchedEntry | undefined> | undefined;
}

export interface ReadAheadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default 1 MiB. */
  readonly smallBytes?: number;
}

/**
 * A turn for each entry, in the given order. Who stops early, by an error or otherwise, ends what is under way, and leaves
 * when that has ended. Throws the signal's reason. Memory: the window (8 MiB stored bytes, or one entry) and the turn's own.
 */
export async function* readAhead(
  source: EntrySource,
  entries: readonly LogEntry[],
  options: ReadAheadOptions = {},
): AsyncGenerator<EntryTurn> {
  const { smallBytes = SMALL_BYTES } = options;
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const window: EntryTurn[] = [];
  const running = new Set<Promise<unknown>>();
  let bytes = 0;
  let next = 0;
  const fill = (): void => {
    for (; next < entries.length && window.length < AHEAD_MAX; next++) {
      const entry = entries[next] as LogEntry;
      const { size } = entry;
      if (size > smallBytes) {
        window.push({ entry, fetched: undefined });
        continue;
      }
      if (bytes > 0 && bytes + size > AHEAD_BYTES) return;
      bytes += size;
      // Made anew since it was listed, it may be larger, but not by much.
      const fetched = source.fetchEntry(entry.name, { signal, size, maxBytes: 2 * smallBytes });
      // It may fail long before its turn.
      const settled: Promise<unknown> = fetched.catch(() => {}).then(() => running.delete(settled));
      running.add(settled);
      window.push({ entry, fetched });
    }
  };
  try {
    for (;;) {
      options.signal?.throwIfAborted();
      fill();
      const turn = window.shift();
      if (turn === undefined) return;
      yield turn;
      if (turn.fetched !== undefined) bytes -= turn.entry.size;
    }
  } finally {
    stop.abort(new DOMException('the reader has stopped', 'AbortError'));
    await Promise.all(running);
  }
}
