/**
 * A log in a directory instead of NATS: for backups to a disk, and for a machine on its own. Objects are files under their
 * own names, laid out as Litestream lays out a file replica; what else is known of them is in the index beside them.
 * Invariant: an object is visible when the index has it, and then its bytes are on the disk.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CanopyError, type Env, makeDirectory } from '@canopy/core';
import {
  type Blob,
  type BlobBucketInfo,
  type BlobCallOptions,
  type BlobDeleteOptions,
  type BlobGetOptions,
  type BlobInfo,
  type BlobPutOptions,
  type BlobReached,
  type BlobSource,
  type BlobSweep,
  type Blobs,
  type BlobWatchEvent,
  natsErrors,
} from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { flushDirectory } from '../process/state-file.ts';
import { wrapFileError } from '../process/system-errors.ts';
import { DirectoryIndex, STORE_DIRECTORY, type StoredObject } from './directory-index.ts';
import { watchDirectory } from './directory-watch.ts';

const READ_MAX = 64 * 1024 * 1024;
const PIECE = 1024 * 1024;

export interface DirectoryStoreOptions {
  readonly path: string;
  readonly env: Env;
  /** Make it where there is none, at most so many bytes large. Without this a missing store is BLOB_BUCKET_MISSING. */
  readonly make?: { readonly maxBytes?: number | undefined } | undefined;
}

export class DirectoryStore implements Blobs {
  readonly bucket: string;
  readonly #path: string;
  readonly #env: Env;
  readonly #index: DirectoryIndex;

  private constructor(path: string, env: Env, index: DirectoryIndex) {
    this.bucket = basename(path);
    this.#path = path;
    this.#env = env;
    this.#index = index;
  }

  /** Throws SQLITE_STORE_INVALID, BLOB_BUCKET_MISSING, SQLITE_UNWRITABLE, SQLITE_DISK_FULL. */
  static open(options: DirectoryStoreOptions): DirectoryStore {
    const { env, make } = options;
    const path = resolve(options.path);
    if (statSync(path, { throwIfNoEntry: false })?.isFile())
      throw sqliteErrors.create('SQLITE_STORE_INVALID', { store: path, problem: 'it is a file' });
    try {
      const index = DirectoryIndex.open(path, make && { now: env.clock.wall(), maxBytes: make.maxBytes });
      if (index === undefined) throw missing(path);
      return new DirectoryStore(path, env, index);
    } catch (error) {
      throw wrapFileError(error, path);
    }
  }

  async put(name: string, data: BlobSource, options: BlobPutOptions = {}): Promise<BlobInfo> {
    this.#check(name);
    if (options.createOnly && this.#index.find(name) !== undefined) throw this.#exists(name);
    const staged = join(STORE_DIRECTORY, 'incoming', randomUUID());
    try {
      const written = await this.#stage(staged, data, options.signal);
      return this.#publish(name, staged, written, options);
    } catch (error) {
      if (existsSync(join(this.#path, staged))) unlinkSync(join(this.#path, staged));
      throw wrapFileError(error, join(this.#path, name));
    }
  }

  async get(name: string, options: BlobGetOptions = {}): Promise<Blob | undefined> {
    this.#check(name);
    const { signal, after } = options;
    signal?.throwIfAborted();
    const found = await this.#open(name);
    if (found === undefined) return undefined;
    const { info } = found.object;
    const [revision, offset] = (after?.mark ?? '').split(' ').map(Number);
    const reached = after && revision === info.revision && offset !== undefined ? after : undefined;
    const read = { at: reached === undefined ? 0 : (offset as number) };
    return {
      info,
      data: closing(found.file, this.#pieces(found.object, found.file, signal, read, reached)),
      resumed: reached !== undefined,
      mark: () => `${info.revision} ${read.at}`,
    };
  }

  async read(
    name: string,
    options: BlobCallOptions & { maxBytes?: number } = {},
  ): Promise<{ info: BlobInfo; bytes: Uint8Array } | undefined> {
    const { maxBytes: limit = READ_MAX } = options;
    const blob = await this.get(name, options);
    if (blob === undefined) return undefined;
    const { size } = blob.info;
    const bytes = new Uint8Array(size <= limit ? size : 0);
    let at = 0;
    for await (const piece of blob.data) {
      if (size > limit) throw natsErrors.create('BLOB_TOO_LARGE', { bucket: this.bucket, name, size, limit });
      bytes.set(piece, at);
      at += piece.length;
    }
    return { info: blob.info, bytes };
  }

  async info(name: string, options: BlobCallOptions = {}): Promise<BlobInfo | undefined> {
    this.#check(name);
    options.signal?.throwIfAborted();
    return this.#index.find(name)?.info;
  }

  async list(prefix = '', options: BlobCallOptions = {}): Promise<BlobInfo[]> {
    this.#check();
    options.signal?.throwIfAborted();
    return this.#index.list(prefix);
  }

  async delete(name: string, options: BlobCallOptions = {}): Promise<void> {
    this.#check(name);
    options.signal?.throwIfAborted();
    const gone = this.#index.transact(() => {
      const object = this.#index.find(name);
      if (object !== undefined) this.#index.delete(object);
      return object;
    });
    // Left behind by a crash here it is a file that nobody knows; the next object of its name takes its place.
    const path = gone && join(this.#path, gone.file);
    if (path !== undefined && existsSync(path)) unlinkSync(path);
  }

  async deleteInOrder(names: AsyncIterable<string> | Iterable<string>, options: BlobDeleteOptions = {}): Promise<void> {
    for await (const name of names) {
      await this.delete(name, options);
      options.onDeleted?.(name);
    }
  }

  /** Objects whose file is not there, or has another size: somebody has deleted or cut it. Reads no contents. */
  damaged(): string[] {
    this.#check();
    const isWhole = (name: string): boolean => {
      const object = this.#index.find(name);
      // Deleted meanwhile, as it should be.
      if (object === undefined) return true;
      const found = statSync(join(this.#path, object.file), { throwIfNoEntry: false });
      return found?.size === object.info.size;
    };
    // A file that is moved to its place as it is looked for is there at the second look.
    return this.#index
      .list('')
      .map(({ name }) => name)
      .filter((name) => !isWhole(name) && !isWhole(name));
  }

  watch(prefix: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<BlobWatchEvent> {
    this.#check();
    return watchDirectory(this.#index, join(this.#path, STORE_DIRECTORY), prefix, this.#env, options.signal);
  }

  async bucketInfo(): Promise<BlobBucketInfo> {
    this.#check();
    return { bucket: this.bucket, replicas: 1, now: this.#env.clock.wall(), ...this.#index.facts() };
  }

  /** Files of puts that were cut off, and that no object names. */
  async sweep(options: BlobCallOptions & { olderThanMs: number }): Promise<BlobSweep> {
    this.#check();
    const directory = join(this.#path, STORE_DIRECTORY, 'incoming');
    let orphans = 0;
    for (const name of readdirSync(directory)) {
      options.signal?.throwIfAborted();
      const path = join(directory, name);
      const left = statSync(path, { throwIfNoEntry: false });
      const isOld = left !== undefined && this.#env.clock.wall() - left.mtimeMs >= options.olderThanMs;
      if (!isOld || this.#index.names(join(STORE_DIRECTORY, 'incoming', name))) continue;
      unlinkSync(path);
      orphans++;
    }
    return { orphans };
  }

  /** Idempotent. Watches end with their signals, before this. */
  close(): void {
    this.#index.close();
  }

  #check(name?: string): void {
    if (this.#index.isGone) throw missing(this.#path);
    if (name === undefined) return;
    const parts = name.split('/');
    if (name.length <= 512 && parts.every((part) => /^[\w=+@,-][\w=+@,.-]*$/.test(part))) return;
    const allowed = 'names of files, with letters, digits and _=+@,.- in them, between slashes; 1 to 512 characters';
    throw natsErrors.create('NAME_REFUSED', { kind: 'object', name, allowed });
  }

  #exists(name: string): Error {
    return natsErrors.create('BLOB_EXISTS', { bucket: this.bucket, name });
  }

  async #stage(
    staged: string,
    data: BlobSource,
    signal: AbortSignal | undefined,
  ): Promise<{ size: number; digest: string }> {
    const file = await open(join(this.#path, staged), 'wx');
    const hash = createHash('sha256');
    let size = 0;
    try {
      for await (const piece of data instanceof Uint8Array ? [data] : data) {
        signal?.throwIfAborted();
        hash.update(piece);
        await file.writeFile(piece);
        size += piece.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    signal?.throwIfAborted();
    return { size, digest: hash.digest('hex') };
  }

  /**
   * A new name: the file takes its place, then the index names it. A name that is taken keeps its old bytes until the index
   * names the new ones, which take their place after it.
   */
  #publish(name: string, staged: string, written: { size: number; digest: string }, options: BlobPutOptions): BlobInfo {
    const place = join(this.#path, name);
    makeDirectory(dirname(place));
    const object = { name, ...written, at: this.#env.clock.wall(), headers: options.headers ?? {} };
    const info = this.#index.transact(() => {
      const before = this.#index.find(name);
      if (before !== undefined && options.createOnly) throw this.#exists(name);
      this.#requireRoom(written.size - (before?.info.size ?? 0));
      if (before !== undefined) return this.#index.put({ ...object, file: staged });
      renameSync(join(this.#path, staged), place);
      flushDirectory(dirname(place));
      return this.#index.put({ ...object, file: name });
    });
    if (existsSync(join(this.#path, staged))) {
      this.#index.transact(() => {
        renameSync(join(this.#path, staged), place);
        flushDirectory(dirname(place));
        this.#index.moved(name, staged, name);
      });
    }
    return info;
  }

  #requireRoom(bytes: number): void {
    const { bytes: used, maxBytes } = this.#index.facts();
    if (maxBytes !== undefined && used + bytes > maxBytes) throw full(this.#path);
  }

  async #open(name: string): Promise<{ object: StoredObject; file: FileHandle } | undefined> {
    // Between the look and the opening another process may have moved or deleted it: then the second look knows.
    for (let attempt = 0; ; attempt++) {
      const object = this.#index.find(name);
      if (object === undefined) return undefined;
      try {
        return { object, file: await open(join(this.#path, object.file), 'r') };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw wrapFileError(error, this.#path);
        if (attempt === 2) throw natsErrors.create('BLOB_GONE', { bucket: this.bucket, name });
      }
    }
  }

  /** `read.at` is how far it has got. */
  async *#pieces(
    object: StoredObject,
    file: FileHandle,
    signal: AbortSignal | undefined,
    read: { at: number },
    reached: BlobReached | undefined,
  ): AsyncGenerator<Uint8Array> {
    const { size, name } = object.info;
    const hash = createHash('sha256');
    try {
      if (reached !== undefined) for await (const piece of reached.held()) hash.update(piece);
      let { at } = read;
      while (at < size) {
        signal?.throwIfAborted();
        const piece = new Uint8Array(Math.min(PIECE, size - at));
        const { bytesRead } = await file.read(piece, 0, piece.length, at);
        if (bytesRead === 0) break;
        at += bytesRead;
        read.at = at;
        const bytes = piece.subarray(0, bytesRead);
        hash.update(bytes);
        const isWhole = at === size && (object.digest === undefined || hash.digest('hex') === object.digest);
        if (at === size && !isWhole) throw natsErrors.create('BLOB_CORRUPT', { bucket: this.bucket, name });
        yield bytes;
      }
      if (at < size) throw natsErrors.create('BLOB_CORRUPT', { bucket: this.bucket, name });
    } finally {
      await file.close();
    }
  }
}

/** The codes of any store, in the words of this one. */
function missing(path: string): Error {
  return new CanopyError('BLOB_BUCKET_MISSING', `there is no log in the directory ${path}`, {
    hint: 'A log that is missing is never taken for an empty one. Check the path (is the disk mounted?); if it was deleted, restore it from a backup. Only a primary makes a new one, for a file that had none: a file that is to leave its log for a new one goes without its -canopy directory.',
    fields: { bucket: path },
  });
}

function full(path: string): Error {
  return new CanopyError('BUCKET_FULL', `the store ${path} has reached the size that it was given`, {
    hint: 'Shorten retention, or delete old snapshots; writes go on by themselves afterwards.',
    retryable: true,
    fields: { bucket: path },
  });
}

/** The file is closed also where nobody has begun to read: a generator that was never asked does nothing at its end. */
function closing(file: FileHandle, pieces: AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array> {
  const end = async (): Promise<IteratorResult<Uint8Array>> => {
    const ended = await pieces.return(undefined);
    await file.close();
    return ended;
  };
  return { [Symbol.asyncIterator]: () => ({ next: () => pieces.next(), return: end }) };
}
