/**
 * Whether a former primary's file, of which its WAL proves nothing any more, still has what the log has. A checkpoint leaves
 * the pages of the last entries in the file exactly as they are in the log; whoever has gone on with the file has changed some.
 * Invariant: a file is called behind only where nobody can have written to it since the entry was read from its WAL.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type DatabaseWarning, formatPosition, type Position } from '@canopy/core';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { DecodedLtx } from '../ltx/decoder.ts';
import { planRestore } from '../restore/plan.ts';
import { HEADER_SIZE, maskFileOwned, readFileHeader } from '../standby/page-one.ts';
import type { DatabaseSpec } from './protocol.ts';

/** What is fetched to be compared: so many of the newest entries, as long as they are no larger than this together. */
const COMPARED_ENTRIES = 16;
const COMPARED_BYTES = 4 * 1024 * 1024;
/** File systems take a file's time of change from a clock that ticks every few ms. */
const TIME_STAMP_MS = 50;

/**
 * `has`: the last entries are in the file. `behind`: they are not, and the file is older than the last. `changed`: they are not
 * as they were; a program has gone on with the file, or another one was written over it. `unknown`: too large, or gone.
 */
export type Continuation = 'has' | 'behind' | 'changed' | 'unknown';

/** Nobody in this process may have the file open. */
export async function continuationOf(
  path: string,
  log: SegmentLog,
  { txid }: Position,
  signal: AbortSignal | undefined,
): Promise<Continuation> {
  const fd = openSync(path, 'r');
  try {
    const pages = new ComparedPages(fd);
    let writtenAt: number | undefined;
    for (let at = txid, bytes = 0; at > Math.max(0, txid - COMPARED_ENTRIES); at--) {
      const entry = await log.entry(at, { signal });
      bytes += entry?.size ?? 0;
      const ltx = entry && bytes <= COMPARED_BYTES ? await read(log, entry, signal) : undefined;
      if (ltx === undefined) break;
      writtenAt ??= ltx.header.timestamp;
      if (!pages.has(ltx)) return fstatSync(fd).mtimeMs < writtenAt - TIME_STAMP_MS ? 'behind' : 'changed';
      if (entry?.kind === 'snapshot') break;
    }
    return writtenAt === undefined ? 'unknown' : 'has';
  } finally {
    closeSync(fd);
  }
}

async function read(
  log: SegmentLog,
  { maxTxid, size }: LogEntry,
  signal: AbortSignal | undefined,
): Promise<DecodedLtx | undefined> {
  try {
    return (await log.read(maxTxid, { signal, size }))?.ltx;
  } catch {
    signal?.throwIfAborted();
    // What is wrong with it is told by those who need it.
    return undefined;
  }
}

/** Entries are compared from the newest on: of each page its image counts. */
class ComparedPages {
  readonly #fd: number;
  readonly #seen = new Set<number>();
  #commit: number | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  has(ltx: DecodedLtx): boolean {
    const { pageSize, commit } = ltx.header;
    this.#commit ??= commit;
    const found = Buffer.alloc(pageSize);
    readSync(this.#fd, found, 0, HEADER_SIZE, 0);
    if (readFileHeader(found)?.pageSize !== pageSize) return false;
    for (const { pgno, data } of ltx.pages()) {
      if (pgno > this.#commit || this.#seen.has(pgno)) continue;
      this.#seen.add(pgno);
      if (readSync(this.#fd, found, 0, pageSize, (pgno - 1) * pageSize) < pageSize) return false;
      const same = pgno === 1 ? Buffer.from(maskFileOwned(found)).equals(maskFileOwned(data)) : found.equals(data);
      if (!same) return false;
    }
    return true;
  }
}

/** What is told where the log goes on with a file of which nobody knows whether it has everything. */
export async function goneOnWith(
  spec: DatabaseSpec,
  log: SegmentLog,
  at: Position,
  signal: AbortSignal | undefined,
): Promise<DatabaseWarning> {
  const position = formatPosition(at);
  const message = `${spec.path} was changed while nobody replicated it, and whether it still has everything that the log has up to ${position} can't be told: a program may have gone on with it, or lost its -wal file, or an older copy may have been written over it; the log goes on with the file as it is`;
  const until = keptUntil(await log.all({ signal }), at.txid, spec);
  const hint = `If something is missing, nothing of it is lost: ${restoreCommand(spec, at.txid)} makes a file of what the log had${until}.`;
  return { code: 'LOG_GOES_ON_UNPROVEN', message, hint };
}

/** The image that a restore of the transaction begins with goes by its age. */
function keptUntil(entries: readonly LogEntry[], txid: number, { options }: DatabaseSpec): string {
  try {
    const [base] = planRestore('', entries, { txid });
    const until = new Date((base?.storedAt ?? 0) + options.retentionMs).toISOString();
    return `, until ${until} at least, and for as long as fewer than ${options.keepSnapshots} newer snapshots are stored`;
  } catch {
    return ', as near as it is still kept';
  }
}

/** As it is typed. */
function restoreCommand({ store, app, connection }: DatabaseSpec, txid: number): string {
  const target = `--txid ${txid} --to <new file>`;
  if (store === undefined) return `canopy snapshot restore ${app} ${target}`;
  const servers = connection.servers.map((server) => server.replace(/\/\/[^@/]*@/, '//')).join(',');
  const place = store.kind === 'directory' ? store.path : `${servers.replace(/,\w+:\/\//g, ',')}/${store.bucket}`;
  return `canopy db restore --store ${place} ${target}`;
}
