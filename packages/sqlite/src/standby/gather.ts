/**
 * From the entries that are due to the pages of one apply: every entry is fetched and verified to its end before anything
 * is touched, of each page the newest image counts. What is small is put together in memory; an entry with more pages
 * than that goes through a spool file, alone. Memory is bounded, whatever the entries' size.
 */
import { hasCode } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import type { Segment, SegmentLog } from '../log/segment-log.ts';
import { type LtxHeader, type LtxPage, lockPage } from '../ltx/header.ts';
import { requireRoom } from './disk-room.ts';
import { MemoryPages, type PageBatch } from './page-changes.ts';
import { Spool } from './spool.ts';

/** A larger entry (compressed) is not read into memory. */
export const SPOOL_BYTES = 4 * 1024 * 1024;
/** Pages in memory at which a batch is full; one entry with more goes through a spool. */
const MEMORY_BYTES = 32 * 1024 * 1024;
/** Entries fetched at a time, and what they may have together unless it is one. */
const AHEAD = 8;
const AHEAD_BYTES = 1024 * 1024;
const DAMAGE = ['BLOB_CORRUPT', 'SQLITE_LTX_INVALID'] as const;

export interface GatherDeps {
  readonly log: SegmentLog;
  /** Ours: for spool files. */
  readonly directory: string;
  /** The file as it is. */
  readonly pageSize: number;
  readonly commit: number;
  readonly signal: AbortSignal;
}

export interface Gathered {
  readonly batch: PageBatch;
  /** Entries that the batch contains, from the first on: at least one. */
  readonly taken: number;
  /** To be called once the batch is not needed any more. */
  close(): void;
}

/**
 * Throws SQLITE_LOG_DAMAGED (field txid) for an entry that is not what it should be, SQLITE_LOG_GAP when one is not there
 * any more, SQLITE_DISK_FULL where a spool has no room, and what reading the log throws.
 */
export async function gather(deps: GatherDeps, entries: readonly LogEntry[]): Promise<Gathered> {
  const first = entries[0] as LogEntry;
  if (first.size > SPOOL_BYTES) return spooled(deps, first);
  const pages = new Map<number, Uint8Array>();
  const growth = new Growth(deps);
  let last: Segment | undefined;
  let taken = 0;
  while (taken < entries.length && pages.size * deps.pageSize < MEMORY_BYTES) {
    const segments = await fetchAhead(deps, entries.slice(taken));
    for (const segment of segments) {
      const { ltx, entry } = segment;
      if (ltx.pageCount * ltx.header.pageSize > MEMORY_BYTES) {
        // Pages that compress well: its size did not tell.
        if (last === undefined) return spooled(deps, first);
        return inMemory(last, pages, taken);
      }
      growth.begin(ltx.header);
      for (const page of ltx.pages()) {
        growth.add(page);
        pages.set(page.pgno, page.data);
      }
      damaging(deps, entry, () => growth.end());
      last = segment;
      taken++;
    }
  }
  return inMemory(last as Segment, pages, taken);
}

function inMemory(last: Segment, pages: ReadonlyMap<number, Uint8Array>, taken: number): Gathered {
  const { pageSize, commit } = last.ltx.header;
  const to = { epoch: last.entry.epoch, txid: last.entry.maxTxid };
  return { batch: { to, pageSize, commit, changes: new MemoryPages(pages) }, taken, close: () => {} };
}

async function fetchAhead(deps: GatherDeps, entries: readonly LogEntry[]): Promise<Segment[]> {
  let bytes = 0;
  let count = 0;
  for (const { size } of entries.slice(0, AHEAD)) {
    bytes += size;
    if (count > 0 && (bytes > AHEAD_BYTES || size > SPOOL_BYTES)) break;
    count++;
  }
  return Promise.all(entries.slice(0, count).map((entry) => fetchOne(deps, entry)));
}

async function fetchOne({ log, signal }: GatherDeps, entry: LogEntry): Promise<Segment> {
  const read = log.readEntry(entry.name, { signal, size: entry.size, maxBytes: SPOOL_BYTES });
  const segment = await read.catch((error: unknown) => {
    throw asDamage(log, entry, error);
  });
  if (segment === undefined) throw gone(log, entry);
  return segment;
}

async function spooled(deps: GatherDeps, entry: LogEntry): Promise<Gathered> {
  const { log, directory, signal } = deps;
  requireRoom(directory, entry.size);
  try {
    const opened = await log.open(entry.name, { signal });
    if (opened === undefined) throw gone(log, entry);
    const { header } = opened.stream;
    const growth = new Growth(deps);
    growth.begin(header);
    // What compresses well takes more than its size, and the file grows by pages that the spool has too.
    requireRoom(directory, entry.size + Math.max(0, header.commit - deps.commit) * header.pageSize);
    const onBatch = (pages: readonly LtxPage[]): void => {
      for (const page of pages) growth.add(page);
    };
    const spool = await Spool.fill(directory, opened.stream, { signal, onBatch });
    try {
      growth.end();
    } catch (error) {
      spool.close();
      throw error;
    }
    const to = { epoch: opened.entry.epoch, txid: opened.entry.maxTxid };
    const { pageSize, commit } = header;
    return { batch: { to, pageSize, commit, changes: spool }, taken: 1, close: () => spool.close() };
  } catch (error) {
    // It was trimmed while we read it.
    if (hasCode(error, 'BLOB_GONE')) throw gone(log, entry);
    throw asDamage(log, entry, error);
  }
}

/** Every entry must bring the pages by which it lets the database grow, or old bytes would pass for data. */
class Growth {
  readonly #pageSize: number;
  #commit: number;
  #before = 0;
  #grown = 0;

  constructor(file: { readonly pageSize: number; readonly commit: number }) {
    this.#pageSize = file.pageSize;
    this.#commit = file.commit;
  }

  begin(header: LtxHeader): void {
    this.#before = header.minTxid === 1 ? 0 : this.#commit;
    this.#commit = header.commit;
    this.#grown = 0;
  }

  add(page: LtxPage): void {
    if (page.pgno > this.#before) this.#grown++;
  }

  end(): void {
    const lock = lockPage(this.#pageSize);
    const locked = lock > this.#before && lock <= this.#commit ? 1 : 0;
    const expected = Math.max(0, this.#commit - this.#before - locked);
    if (this.#grown === expected) return;
    const problem = `it lets the database grow to ${this.#commit} pages, but has ${this.#grown} of the ${expected} new ones`;
    throw sqliteErrors.create('SQLITE_LTX_INVALID', { object: 'the entry', problem });
  }
}

function damaging({ log }: GatherDeps, entry: LogEntry, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw asDamage(log, entry, error);
  }
}

function asDamage(log: SegmentLog, entry: LogEntry, error: unknown): unknown {
  if (!hasCode(error, ...DAMAGE)) return error;
  const { bucket } = log;
  return sqliteErrors.create('SQLITE_LOG_DAMAGED', { bucket, txid: entry.maxTxid, problem: error.message }, error);
}

function gone(log: SegmentLog, entry: LogEntry): Error {
  const { minTxid: from, maxTxid: to } = entry;
  const problem = 'trimmed away before it was applied';
  return sqliteErrors.create('SQLITE_LOG_GAP', { bucket: log.bucket, from, to, problem });
}
