/**
 * The file side of a primary: a WAL-mode database that other programs write, held so that nothing they commit escapes.
 * Everything here is synchronous but for waiting until a writer lets go. Invariants: raw descriptors of the file and of its
 * index are closed after SQLite's last lock; a checkpoint happens only with writers kept out and the WAL read to its end.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import type { Env } from '@canopy/core';
import type { ResolvedSqliteOptions } from '../database/options.ts';
import { sqliteErrors } from '../errors.ts';
import { wrapFileError } from '../process/system-errors.ts';
import type { WalBatch, WalCursor } from '../wal/reader.ts';
import { imagePage, type PageReaders } from './segment-builder.ts';
import { WalIndexFile } from './wal-index-file.ts';
import { WalPin } from './wal-pin.ts';
import { type WalStep, WalTail } from './wal-tail.ts';

/** Tries at keeping writers out are this far apart while one of them is at it. */
const BARRIER_RETRY_MS = 250;
/** After a checkpoint that a reader kept from completing. */
const BLOCKED_RETRY_MS = 1000;

export interface LiveOptions {
  readonly path: string;
  readonly env: Env;
  readonly options: ResolvedSqliteOptions;
}

/** The database at one moment: pages that are in the WAL, all others are in the file and stay as they are. */
export interface FrozenImage {
  readonly commit: number;
  readonly frames: ReadonlyMap<number, number>;
}

/**
 * Connections to files that were replaced: SQLite would remove the -wal file of whatever lies at the path now when they
 * are closed, so they stay open for the process's life.
 */
const abandoned: LiveDatabase[] = [];

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
  #checkpointedPages = 0;
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
      this.#pin = new WalPin(live.path, { busyTimeoutMs: live.options.busyTimeoutMs });
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

  /** Where reading stands. */
  get cursor(): WalCursor | undefined {
    return this.#tail.cursor;
  }

  get walBytes(): number {
    return this.#tail.sizeBytes;
  }

  /** Bytes of the WAL that its next writer can't write over yet. */
  get walBytesUsed(): number {
    return this.#tail.usedBytes;
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
    while (!this.#pin.raiseBarrier()) await this.#live.env.clock.sleep(BARRIER_RETRY_MS, { signal });
    try {
      return this.#freeze();
    } finally {
      this.#pin.dropBarrier();
    }
  }

  /** Freezes the state right behind what `take` is given. Undefined when this is not the moment. */
  freezeCaptured(take: TakeBatch): FrozenImage | undefined {
    return this.#behindBarrier(take, () => this.#freeze());
  }

  /** Whether the WAL has grown by enough since the last checkpoint. */
  get checkpointDue(): boolean {
    const { env, options } = this.#live;
    if (env.clock.monotonic() < this.#nextBarrierAt) return false;
    return this.#walPages() - this.#checkpointedPages >= options.checkpointPages;
  }

  /**
   * Copies the WAL into the file after the rest of it was handed to `take`, so that the next writer begins it anew. Writers
   * wait meanwhile. Where one can't be kept out, or a reader is in the way, it is tried again later.
   */
  checkpoint(take: TakeBatch): void {
    this.#behindBarrier(take, () => {
      const { complete } = this.#pin.checkpoint();
      this.#tail.sealed(complete);
      this.#checkpointedPages = this.#walPages();
      if (!complete) this.#nextBarrierAt = this.#live.env.clock.monotonic() + BLOCKED_RETRY_MS;
    });
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

  #behindBarrier<T>(take: TakeBatch, work: () => T): T | undefined {
    if (!this.#pin.raiseBarrier()) {
      this.#nextBarrierAt = this.#live.env.clock.monotonic() + BARRIER_RETRY_MS;
      return undefined;
    }
    try {
      const step = this.#tail.next();
      if (step.type === 'frames') take(step.batch);
      if (step.type === 'lost' || step.type === 'unsettled') return undefined;
      if (step.type === 'frames' && step.batch.more) return undefined;
      return work();
    } finally {
      this.#pin.dropBarrier();
    }
  }

  #freeze(): FrozenImage {
    const { complete } = this.#pin.checkpoint();
    const frames = complete ? new Map<number, number>() : this.#tail.scanAll();
    if (complete) this.#tail.skipToEnd();
    this.#tail.sealed(complete);
    this.#checkpointedPages = this.#walPages();
    return { commit: this.#pin.pageCount(), frames };
  }

  /** Frames behind the cursor's generation start. After a complete checkpoint the cursor still stands behind old ones. */
  #walPages(): number {
    const offset = this.#tail.cursor?.offset ?? 0;
    const pages = Math.max(0, Math.floor((offset - 32) / (24 + this.readers.pageSize)));
    if (pages < this.#checkpointedPages) this.#checkpointedPages = 0;
    return pages;
  }
}
