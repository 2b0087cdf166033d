/**
 * Makes a database file from a log: plan, stream the full image into a temporary file, put the later entries on top,
 * check, fsync, rename. The destination is either as it was or complete; memory does not depend on the database's size.
 */
import { open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Clock, type Env, epoch, hasCode, type Position, systemEnv } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { forgetKept, isKept } from '../log/kept-download.ts';

import type { LogEntry } from '../log/names.ts';

import { type EntrySource, type FetchedEntry, readAhead } from '../log/read-ahead.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { requireDestination, sidecars } from './destination.ts';
import { lockDestination } from './destination-lock.ts';
import { checkIntegrity, type IntegrityMethod } from './integrity.ts';
import { onDisk, PageFile } from './page-file.ts';
import { planRestore, type RestoreTarget } from './plan.ts';
import { RateMeter, type TransferRate } from './transfer-rate.ts';

/** A trim that runs meanwhile may take an object of the plan away; a newer plan does without it. */
const ATTEMPTS = 5;
const DAMAGE = ['BLOB_CORRUPT', 'SQLITE_LTX_INVALID'] as const;

/** What a restore reads from: a log, or anything else that holds LTX objects. */
export interface RestoreSource extends EntrySource {
  readonly bucket: string;
  all(options?: { signal?: AbortSignal | undefined }): Promise<LogEntry[]>;
  open: SegmentLog['open'];
}

export interface RestoreOptions {
  readonly log: RestoreSource;
  /** Path of the database file to make. */
  readonly dest: string;
  /** Default: the end of the log. */
  readonly target?: RestoreTarget | undefined;
  /** Replaces an existing file, and removes its -wal, -shm and -journal. Nothing may have it open. Default false. */
  readonly overwrite?: boolean;
  /** Integrity check before the file appears; blocks the event loop while it runs. Default `none`. */
  readonly check?: IntegrityMethod;
  /** Compressed bytes; called after each piece. */
  readonly onProgress?: (progress: RestoreProgress) => void;
  /** Last changes to the file before it is synced and appears, by positional writes on `fd`. Must not close it. */
  readonly prepare?: (fd: number, facts: { pageSize: number; commit: number }) => void | Promise<void>;
  /**
   * What was fetched of the full image stays beside `dest` (`.fetched`, compressed) when the restore is cut off, and the
   * next one to the same `dest` goes on there. Takes that much more disk. Default false.
   */
  readonly isResumable?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly env?: Env;
}

export interface RestoreProgress extends TransferRate {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface Restored {
  /** Of the last entry applied. */
  readonly position: Position;
  /** The last entry applied. */
  readonly entry: LogEntry;
  readonly pageSize: number;
  /** Size of the database in pages. */
  readonly commit: number;
  /** Objects applied, and their compressed bytes. */
  readonly files: number;
  readonly bytes: number;
  readonly ms: number;
}

/**
 * Restores the database to `dest`. Bytes are those that the primary's pages had. Throws SQLITE_LOG_EMPTY, SQLITE_LOG_GAP,
 * SQLITE_TARGET_UNREACHABLE, SQLITE_POSITION_UNKNOWN, SQLITE_LTX_INVALID, SQLITE_DESTINATION_EXISTS, SQLITE_DESTINATION_INVALID, SQLITE_DESTINATION_BUSY,
 * SQLITE_UNWRITABLE, SQLITE_DISK_FULL, SQLITE_INTEGRITY_FAILED, BLOB_BUCKET_MISSING, BLOB_CORRUPT, BLOB_GONE (the log is shortened faster than it can be read), or the signal's reason; then nothing half-done is left.
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const clock = (options.env ?? systemEnv()).clock;
  const started = clock.monotonic();
  const dest = resolve(options.dest);
  const overwrite = options.overwrite === true;
  await requireDestination(dest, overwrite);
  using _lock = await lockDestination(dest, clock);
  // Another restore may have ended in between.
  await requireDestination(dest, overwrite);
  const damaged = new Map<string, unknown>();
  for (let attempt = 1; ; attempt++) {
    const isGoingOn = options.isResumable === true && isKept(keptOf(dest));
    try {
      const done = await restoreOnce(options, dest, damaged);
      return { ...done, ms: clock.monotonic() - started };
    } catch (error) {
      // Objects go while the log is listed and read, each for another one that has what it had: that is in the next listing.
      const hasMoved = hasCode(error, 'SQLITE_LOG_GAP', 'BLOB_GONE');
      // It may be what was kept that is damaged, by a loss of power: without it, then.
      if (isGoingOn && attempt < ATTEMPTS && isDamage(error)) continue;
      if (attempt >= ATTEMPTS || !(hasMoved || error instanceof DamagedImage))
        throw error instanceof DamagedImage ? error.cause : error;
      if (error instanceof DamagedImage) damaged.set(error.entry.name, error.cause);
    }
  }
}

/** The full image that the plan began with; an older one and what follows it may do instead. */
class DamagedImage extends Error {
  readonly entry: LogEntry;

  constructor(entry: LogEntry, cause: unknown) {
    super(`${entry.name} is damaged`, { cause });
    this.entry = entry;
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof DamagedImage || hasCode(error, ...DAMAGE);
}

/** Without the images known to be damaged. Where that leaves no way, the damage is the reason, not a gap. */
async function planWithout(options: RestoreOptions, damaged: ReadonlyMap<string, unknown>): Promise<LogEntry[]> {
  const { log, target, signal } = options;
  const entries = (await log.all({ signal })).filter((entry) => !damaged.has(entry.name));
  try {
    return planRestore(log.bucket, entries, target);
  } catch (error) {
    for (const first of damaged.values()) throw first;
    throw error;
  }
}

async function restoreOnce(
  options: RestoreOptions,
  dest: string,
  damaged: ReadonlyMap<string, unknown>,
): Promise<Omit<Restored, 'ms'>> {
  const { signal } = options;
  const { clock } = options.env ?? systemEnv();
  const plan = await planWithout(options, damaged);
  const temporary = `${dest}.restoring`;
  const assembly = new Assembly(options, plan, temporary);
  try {
    const file = await assembly.run();
    await options.prepare?.(file.fd, { pageSize: file.pageSize, commit: file.commit });
    await file.sync();
    await file.close();
    checkIntegrity(temporary, options.check ?? 'none');
    // Signals and bounds that came due during the check are heard before anything appears.
    await clock.sleep(0);
    signal?.throwIfAborted();
    if (options.overwrite) for (const path of sidecars(dest)) await rm(path, { force: true });
    await rename(temporary, dest);
    await syncDirectory(dirname(dest));
    if (options.isResumable) forgetKept(keptOf(dest));
    const last = plan.at(-1) as LogEntry;
    return {
      position: { epoch: epoch(last.epoch), txid: last.maxTxid },
      entry: last,
      pageSize: file.pageSize,
      commit: file.commit,
      files: plan.length,
      bytes: assembly.totalBytes,
    };
  } catch (error) {
    await assembly.abandon();
    // What is kept may be what was damaged, or what has filled the disk.
    if (options.isResumable && (isDamage(error) || hasCode(error, 'SQLITE_DISK_FULL'))) forgetKept(keptOf(dest));
    throw error;
  }
}

/** The temporary file and what flows into it. */
class Assembly {
  readonly totalBytes: number;
  readonly #options: RestoreOptions;
  readonly #plan: readonly LogEntry[];
  readonly #path: string;
  #file: PageFile | undefined;
  readonly #rate = new RateMeter();
  readonly #clock: Clock;
  #doneBytes = 0;

  constructor(options: RestoreOptions, plan: readonly LogEntry[], path: string) {
    this.#options = options;
    this.#plan = plan;
    this.#path = path;
    this.#clock = (options.env ?? systemEnv()).clock;
    this.totalBytes = plan.reduce((sum, entry) => sum + entry.size, 0);
  }

  async run(): Promise<PageFile> {
    const { log, signal } = this.#options;
    for await (const { entry, fetched } of readAhead(log, this.#plan, { signal })) {
      try {
        if (fetched === undefined) await this.#stream(entry);
        else await this.#whole(entry, await fetched);
      } catch (error) {
        throw entry === this.#plan[0] && hasCode(error, ...DAMAGE) ? new DamagedImage(entry, error) : error;
      }
    }
    const file = this.#file as PageFile;
    await file.complete();
    return file;
  }

  /** Ends with the temporary file gone. */
  async abandon(): Promise<void> {
    await this.#file?.close().catch(() => {});
    for (const path of [this.#path, ...sidecars(this.#path)]) await rm(path, { force: true }).catch(() => {});
  }

  async #whole(entry: LogEntry, fetched: FetchedEntry | undefined): Promise<void> {
    if (fetched === undefined) throw this.#vanished(entry);
    const ltx = fetched.decode();
    const file = await this.#open(ltx.header.pageSize);
    file.begin(ltx.header, entry.name);
    await file.gather(ltx.pages());
    file.end(entry.name);
    this.#progress(entry.size);
  }

  async #stream(entry: LogEntry): Promise<void> {
    const { log, dest, signal, isResumable } = this.#options;
    const keep = isResumable && entry.minTxid === 1 ? keptOf(resolve(dest)) : undefined;
    const opened = await log.open(entry.name, { signal, keep });
    if (opened === undefined) throw this.#vanished(entry);
    const { stream } = opened;
    const file = await this.#open(stream.header.pageSize);
    file.begin(stream.header, entry.name);
    const before = this.#doneBytes;
    for await (const batch of stream.batches()) {
      this.#options.signal?.throwIfAborted();
      for (const page of batch) await file.write(page);
      this.#progress(before + stream.consumedBytes() - this.#doneBytes);
    }
    file.end(entry.name);
    this.#progress(before + entry.size - this.#doneBytes);
  }

  async #open(pageSize: number): Promise<PageFile> {
    this.#file ??= await PageFile.create(this.#path, pageSize);
    return this.#file;
  }

  #progress(bytes: number): void {
    this.#doneBytes += bytes;
    const progress = { doneBytes: this.#doneBytes, totalBytes: this.totalBytes };
    const rate = this.#rate.add(this.#clock.monotonic(), progress.doneBytes, progress.totalBytes);
    this.#options.onProgress?.({ ...progress, ...rate });
  }

  #vanished(entry: LogEntry): Error {
    return sqliteErrors.create('SQLITE_LOG_GAP', {
      bucket: this.#options.log.bucket,
      from: entry.minTxid,
      to: entry.maxTxid,
      problem: 'deleted while it was being restored',
      vanished: true,
    });
  }
}

/** What was fetched of the image that the restore began with. */
function keptOf(dest: string): string {
  return `${dest}.fetched`;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await onDisk(path, directory.sync());
  } finally {
    await directory.close();
  }
}
