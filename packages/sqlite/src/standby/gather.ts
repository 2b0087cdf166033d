/**
 * From the entries that are due to the pages of one apply: every entry is fetched and verified to its end before anything
 * is touched, of each page the newest image counts. What is small is put together in memory; an entry with more pages
 * than that goes through a spool file, alone. Memory is bounded, whatever the entries' size.
 */
import { hasCode } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import { type FetchedEntry, readAhead } from '../log/read-ahead.ts';
import type { Segment, SegmentLog } from '../log/segment-log.ts';
import { type LtxHeader, type LtxPage, lockPage } from '../ltx/header.ts';
import { requireRoom } from './disk-room.ts';
import { MemoryPages, type PageBatch } from './page-changes.ts';
import { Spool } from './spool.ts';

/** A larger entry (compressed) is not read into memory. */
export const SPOOL_BYTES = 4 * 1024 * 1024;
/** Pages in memory at which a batch is full; one entry with more goes through a spool. */
const MEMORY_BYTES = 32 * 1024 * 1024;
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
 * any more, SQLITE_PAGE_SIZE_MISMATCH where the database's pages became of another size, SQLITE_DISK_FULL where a spool has no room, and what reading the log throws.
 */
export async function gather(deps: GatherDeps, entries: readonly LogEntry[]): Promise<Gathered> {
  const first = entries[0] as LogEntry;
  if (first.size > SPOOL_BYTES) return spooled(deps, first);
  const pages = new Map<number, Uint8Array>();
  const growth = new Growth(deps);
  let last: Segment | undefined;
  let taken = 0;
  const { log, signal } = deps;
  for await (const turn of readAhead(log, entries, { signal, smallBytes: SPOOL_BYTES })) {
    // One that is to go through a spool is the next batch.
    if (turn.fetched === undefined) break;
    const segment = await segmentOf(log, turn.entry, turn.fetched);
    const { ltx, entry } = segment;
    if (ltx.header.pageSize !== deps.pageSize) {
      // What is before it can still be applied.
      if (last === undefined) throw otherPageSize(deps, entry, ltx.header);
      break;
    }
    if (ltx.pageCount * ltx.header.pageSize > MEMORY_BYTES) {
      // Pages that compress well: its size did not tell.
      if (last === undefined) return spooled(deps, first);
      break;
    }
    growth.begin(ltx.header);
    for (const page of ltx.pages()) {
      growth.add(page);
      pages.set(page.pgno, page.data);
    }
    damaging(deps, entry, () => growth.end());
    last = segment;
    taken++;
    if (pages.size * deps.pageSize >= MEMORY_BYTES) break;
  }
  return inMemory(last as Segment, pages, taken);
}

function inMemory(last: Segment, pages: ReadonlyMap<number, Uint8Array>, taken: number): Gathered {
  const { pageSize, commit } = last.ltx.header;
  const to = { epoch: last.entry.epoch, txid: last.entry.maxTxid };
  return { batch: { to, pageSize, commit, changes: new MemoryPages(pages) }, taken, close: () => {} };
}

async function segmentOf(
  log: SegmentLog,
  entry: LogEntry,
  fetching: Promise<FetchedEntry | undefined>,
): Promise<Segment> {
  try {
    const fetched = await fetching;
    if (fetched !== undefined) return { entry: fetched.entry, bytes: fetched.bytes, ltx: fetched.decode() };
  } catch (error) {
    throw asDamage(log, entry, error);
  }
  throw gone(log, entry);
}

async function spooled(deps: GatherDeps, entry: LogEntry): Promise<Gathered> {
  const { log, directory, signal } = deps;
  requireRoom(directory, entry.size);
  try {
    const opened = await log.open(entry.name, { signal });
    if (opened === undefined) throw gone(log, entry);
    const { header } = opened.stream;
    if (header.pageSize !== deps.pageSize) {
      await opened.stream.close();
      throw otherPageSize(deps, entry, header);
    }
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

/** A full image of a database whose page size was changed: the copy is made anew from it. */
function otherPageSize({ pageSize }: GatherDeps, { name }: LogEntry, header: LtxHeader): Error {
  return sqliteErrors.create('SQLITE_PAGE_SIZE_MISMATCH', {
    object: name,
    actual: header.pageSize,
    expected: pageSize,
  });
}

function gone(log: SegmentLog, entry: LogEntry): Error {
  const { minTxid: from, maxTxid: to } = entry;
  const problem = 'trimmed away before it was applied';
  return sqliteErrors.create('SQLITE_LOG_GAP', { bucket: log.bucket, from, to, problem });
}
