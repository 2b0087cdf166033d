/**
 * The file side of a primary: a WAL-mode database that other programs write, held so that nothing they commit escapes.
 * Everything here is synchronous but for waiting until a writer lets go. Invariants: raw descriptors of the file and of its
 * index are closed after SQLite's last lock; a checkpoint happens only with writers kept out and the WAL read to its end.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { backoffMs, type Env } from '@canopy/core';
import type { ResolvedSqliteOptions } from '../database/options.ts';
import { sqliteErrors } from '../errors.ts';
import type { PageSource } from '../ltx/encoder.ts';
import { wrapFileError } from '../process/system-errors.ts';
import type { WalBatch, WalCursor } from '../wal/reader.ts';
import { RenewPatience } from './renew-patience.ts';
import { imagePage, isStreamed, type PageReaders } from './segment-builder.ts';
import { WalIndexFile } from './wal-index-file.ts';
import { WalPin } from './wal-pin.ts';
import { type WalStep, WalTail } from './wal-tail.ts';

/** Tries at keeping writers out are this far apart while one of them is at it. */
const BARRIER_RETRY_MS = 250;
/** After a checkpoint that a reader kept from completing; each further one waits twice as long. */
const BLOCKED_RETRY = { initialMs: 1000, maxMs: 10_000 };
/** File systems take a file's time of change from a clock that ticks every few ms. */
const TIME_STAMP_MS = 50;
/** The same while the WAL is too large and writers are kept out. */
const PRESSED_RETRY_MS = 50;

export interface LiveOptions {
  readonly path: string;
  readonly env: Env;
  readonly options: ResolvedSqliteOptions;
}

/** The database at one moment: pages that are in the WAL, all others are in the file and stay as they are. */
export interface FrozenImage {
  readonly commit: number;
  readonly frames: ReadonlyMap<number, number>;
  /** How often the WAL had been copied into the file: once more, and the file has pages of later commits. */
  readonly copies: number;
}

export interface ImageSource extends PageSource {
  /** Throws SQLITE_IMAGE_MOVED where what was read so far need not be the image. */
  check(): void;
}

/**
 * Connections to files that were replaced: SQLite would remove the -wal file of whatever lies at the path now when they
 * are closed, so they stay open for the process's life.
 */
const abandoned: LiveDatabase[] = [];

/** What such a connection still holds: a second look at the file, by this process, would share its locks and its index. */
export function isAbandoned(file: { readonly dev: number; readonly ino: number }): boolean {
  return abandoned.some((one) => one.isOf(file));
}

/** Takes what the WAL still has, with writers kept out. */
export type TakeBatch = (batch: WalBatch) => void;

export class LiveDatabase {
  readonly readers: PageReaders;
  readonly #live: LiveOptions;
  readonly #fd: number;
  readonly #pin: WalPin;
  readonly #index: WalIndexFile;
  readonly #tail: WalTail;
  #nextBarrierAt = 0;
  #holds = 0;
  /** Bytes of the WAL when a checkpoint was complete; while it has no more, the file has everything. */
  #copiedBytes = -1;
  #renewAt = 0;
  #isDiskFull = false;
  readonly #patience = new RenewPatience();
  #checkpointedPages = 0;
  #copies = 0;
  /** Checkpoints in a row that a reader kept from completing. */
  #blocked = 0;
  /** While the pin still held: whether everything committed was read. */
  #readToEnd: boolean | undefined;
  #left = false;
  #closed = false;

  constructor(live: LiveOptions, start: { cursor: WalCursor | undefined; restartable: boolean }) {
    this.#live = live;
    // SQLite's connections go first, then the raw descriptors: see `close`.
    const undo: (() => void)[] = [];
    try {
      this.#fd = openSync(live.path, 'r');
      undo.push(() => closeSync(this.#fd));
      this.#pin = new WalPin(live.path, { busyTimeoutMs: live.options.busyTimeoutMs, clock: live.env.clock });
      undo.unshift(() => this.#pin.close());
      this.#pin.pin();
      this.#index = new WalIndexFile(live.path, () => this.#pin.mendIndex());
      undo.push(() => this.#index.close());
      this.#index.read();
      this.#tail = new WalTail(live.path, { ...start, index: this.#index });
      undo.push(() => this.#tail.close());
      const frame: PageReaders['frame'] = (offset, into) => this.#tail.page(offset, into);
      const { pageEncoding } = live.options;
      this.readers = { pageSize: this.#pin.pageSize(), fd: this.#fd, pageEncoding, frame };
    } catch (error) {
      for (const close of undo) close();
      throw wrapFileError(error, live.path);
    }
  }

  isOf(file: { readonly dev: number; readonly ino: number }): boolean {
    const ours = fstatSync(this.#fd);
    return ours.ino === file.ino && ours.dev === file.dev;
  }

  /** Where reading stands. */
  get cursor(): WalCursor | undefined {
    return this.#tail.cursor;
  }

  get walBytes(): number {
    return this.#tail.sizeBytes;
  }

  /** Bytes of the WAL's present generation: what the file would need if it were cut. */
  get walBytesUsed(): number {
    return this.#tail.usedBytes;
  }

  /** Writers are kept out now. */
  get isHeld(): boolean {
    return this.#pin.isBarred;
  }

  /** Where what is committed now ends; undefined while that can't be told, or in a WAL that was never written. */
  get committedEnd(): WalCursor | undefined {
    return this.#tail.committedEnd;
  }

  /** Nothing is committed behind the cursor, for certain. */
  get isReadToEnd(): boolean {
    return this.#tail.isReadToEnd;
  }

  /** What was committed since the cursor. */
  next(): WalStep {
    return this.#tail.next();
  }

  /** What was found up to here is taken care of. */
  advance(end: WalCursor): void {
    this.#tail.advance(end);
  }

  /** Throws SQLITE_FILE_REPLACED when the path no longer leads to the file that is open here. */
  check(): void {
    const how = this.#replacement();
    if (how !== undefined) throw sqliteErrors.create('SQLITE_FILE_REPLACED', { path: this.#live.path, how });
  }

  #replacement(): string | undefined {
    const now = statSync(this.#live.path, { throwIfNoEntry: false });
    if (now === undefined) return 'deleted';
    if (now.ino !== fstatSync(this.#fd).ino) return 'replaced';
    if (this.#tail.isGone) return 'robbed of its -wal file';
    return this.#index.isGone ? 'robbed of its -shm file' : undefined;
  }

  /** Freezes the present state whatever was read before: the start of a history, or after frames were lost. */
  async freeze(signal: AbortSignal): Promise<FrozenImage> {
    let release = this.holdWriters();
    for (; release === undefined; release = this.holdWriters())
      await this.#live.env.clock.sleep(BARRIER_RETRY_MS, { signal });
    try {
      return this.#freeze();
    } finally {
      release();
    }
  }

  /** Freezes the state right behind what `take` is given. Undefined when this is not the moment. */
  freezeCaptured(take: TakeBatch): FrozenImage | undefined {
    return this.#behindBarrier(take, () => this.#freeze());
  }

  /**
   * Why a frozen image is no longer the state that it was; undefined while it is. Our own `freeze` and `checkpoint` end it,
   * and so does whoever gets past the pin: a WAL that is lost stays so until it was imaged anew.
   */
  movedOn(image: FrozenImage): string | undefined {
    if (image.copies !== this.#copies) return 'the WAL was copied into the file';
    const step = this.#tail.next();
    return step.type === 'lost' ? step.reason : undefined;
  }

  /** The last checkpoint found no room on the disk. */
  get isDiskFull(): boolean {
    return this.#isDiskFull;
  }

  /** Whether the WAL has grown by enough since the last checkpoint; while it has to be `renew`ed, that is always. */
  isCheckpointDue(renew: boolean): boolean {
    const { env, options } = this.#live;
    if (env.clock.monotonic() < this.#nextBarrierAt) return false;
    if (renew) return !this.#isCopied || env.clock.monotonic() >= this.#renewAt;
    return this.#blocked > 0 || this.#walPages() - this.#checkpointedPages >= options.checkpointPages;
  }

  /**
   * Copies the WAL into the file after the rest of it was handed to `take`, so that the next writer begins it anew. Writers
   * wait meanwhile. Where one can't be kept out, or a reader is in the way, it is tried again later. With `renew` the WAL is
   * begun anew by a write of ours, where writers were kept out ever since it was copied: readers that begin meanwhile use the
   * file alone, so those that use the WAL die out.
   */
  checkpoint(take: TakeBatch, options: { renew?: boolean } = {}): void {
    const { renew = false } = options;
    const { clock, random } = this.#live.env;
    this.#behindBarrier(take, (isCaptured) => {
      if (renew && isCaptured && this.#isCopied) return this.#renew();
      this.#copies++;
      const { complete, isDiskFull } = this.#pin.checkpoint();
      this.#isDiskFull = isDiskFull;
      this.#tail.sealed(complete);
      this.#copiedBytes = complete ? this.walBytesUsed : -1;
      this.#checkpointedPages = this.#walPages();
      const now = clock.monotonic();
      this.#renewAt = now + this.#patience.ms;
      if (complete) this.#blocked = 0;
      else this.#nextBarrierAt = now + (renew ? PRESSED_RETRY_MS : backoffMs(this.#blocked++, BLOCKED_RETRY, random));
      // The barrier may itself be in the way: see there.
      if (renew && !complete && !this.#pin.renewBarrier()) this.#holds = 0;
    });
  }

  /** Nothing was written since the whole WAL was copied into the file. */
  get #isCopied(): boolean {
    return this.#copiedBytes === this.walBytesUsed;
  }

  /** Where a reader is still in the way, our write is one more in the WAL: that is copied first, then the wait is longer. */
  #renew(): void {
    const before = this.walBytesUsed;
    this.#copiedBytes = -1;
    if (!this.#pin.renewWal()) this.#holds = 0;
    this.#patience.tried(this.walBytesUsed < before);
  }

  /** A frozen image, page by page: each is given until the next one is read. */
  source(image: FrozenImage): ImageSource {
    const { pageSize } = this.readers;
    const buffer = new Uint8Array(pageSize);
    const check = (): void => this.#refuse(this.movedOn(image));
    return { pageSize, pageCount: image.commit, read: (pgno) => this.page(image, pgno, buffer), check };
  }

  /** Throws SQLITE_IMAGE_MOVED where frames that were read up to `end` need not be those that were committed there. */
  requireFrames(end: WalCursor): void {
    const step = this.#tail.next();
    const now = this.#tail.committedEnd ?? end;
    const isAnew = now.salt1 !== end.salt1 || now.salt2 !== end.salt2;
    this.#refuse(step.type === 'lost' ? step.reason : isAnew ? 'the WAL was begun anew' : undefined);
  }

  #refuse(how: string | undefined): void {
    if (how !== undefined) throw sqliteErrors.create('SQLITE_IMAGE_MOVED', { path: this.#live.path, how });
  }

  /** One page of a frozen image; `into` is one page long and given back. */
  page(image: FrozenImage, pgno: number, into: Uint8Array): Uint8Array {
    return imagePage(pgno, image.frames, this.readers, into);
  }

  /**
   * Copies the WAL into the file and switches it to rollback mode, in place. True when nothing was committed behind the
   * cursor. Throws SQLITE_DATABASE_BUSY when another program keeps the database open past the bound.
   */
  async leave(): Promise<boolean> {
    const { env, options, path } = this.#live;
    if (this.#replacement() !== undefined) return false;
    this.#readToEnd ??= this.#tail.next().type === 'nothing';
    const deadline = env.clock.monotonic() + options.lockTimeoutMs;
    while (!this.#pin.leaveWal()) {
      if (env.clock.monotonic() >= deadline)
        throw sqliteErrors.create('SQLITE_DATABASE_BUSY', { path, timeoutMs: options.lockTimeoutMs });
      await env.clock.sleep(20);
    }
    this.#left = true;
    // The files are gone by now, but our descriptor still shows what was committed at the end. Without the pin the WAL
    // may have been begun anew any number of times: only an index that never moved proves anything.
    return this.#readToEnd && this.#tail.isUnchanged;
  }

  /**
   * Copies the whole WAL into the file with writers kept out and calls `record` with the WAL's end, once the file
   * has been left alone for longer than its time stamp can tell. False, and nothing recorded, where something is behind the
   * cursor, or a reader or writer was in the way.
   */
  async seal(record: (end: WalCursor) => void): Promise<boolean> {
    const release = this.holdWriters();
    if (release === undefined) return false;
    try {
      if (this.#tail.next().type !== 'nothing' || !this.#pin.checkpoint().complete) return false;
      await this.#live.env.clock.sleep(TIME_STAMP_MS);
      const end = this.#tail.cursor;
      if (end === undefined || !this.#pin.isBarred || this.#replacement() !== undefined) return false;
      record(end);
      return true;
    } finally {
      release();
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#left && this.#replacement() !== undefined) {
      abandoned.push(this);
      return;
    }
    this.#tail.close();
    this.#pin.close();
    this.#index.close();
    closeSync(this.#fd);
  }

  /**
   * Keeps writers out until the result is called, or the database is left or closed; holds may overlap. Undefined when one
   * of them is writing and does not end within the busy timeout.
   */
  holdWriters(): (() => void) | undefined {
    if (!this.#pin.isBarred && !this.#pin.raiseBarrier()) return undefined;
    this.#holds++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#holds = Math.max(0, this.#holds - 1);
      if (this.#holds === 0) this.#pin.dropBarrier();
    };
  }

  /** `work` hears whether there was nothing left to take. */
  #behindBarrier<T>(take: TakeBatch, work: (isCaptured: boolean) => T): T | undefined {
    const release = this.holdWriters();
    if (release === undefined) {
      this.#nextBarrierAt = this.#live.env.clock.monotonic() + BARRIER_RETRY_MS;
      return undefined;
    }
    try {
      const step = this.#tail.next();
      if (step.type === 'frames') take(step.batch);
      if (step.type === 'lost' || step.type === 'unsettled') return undefined;
      // What is read while it is sent must stay where it is: this is not the moment to let the WAL begin anew.
      if (step.type === 'frames' && (step.batch.more || isStreamed(step.batch))) return undefined;
      return work(step.type === 'nothing');
    } finally {
      release();
    }
  }

  #freeze(): FrozenImage {
    this.#copies++;
    const { complete } = this.#pin.checkpoint();
    const frames = complete ? new Map<number, number>() : this.#tail.scanAll();
    if (complete) this.#tail.skipToEnd();
    this.#tail.sealed(complete);
    this.#checkpointedPages = this.#walPages();
    return { commit: this.#pin.pageCount(), frames, copies: this.#copies };
  }

  /** Frames behind the cursor's generation start. After a complete checkpoint the cursor still stands behind old ones. */
  #walPages(): number {
    const offset = this.#tail.cursor?.offset ?? 0;
    const pages = Math.max(0, Math.floor((offset - 32) / (24 + this.readers.pageSize)));
    if (pages < this.#checkpointedPages) this.#checkpointedPages = 0;
    return pages;
  }
}
