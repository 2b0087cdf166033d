/**
 * The objects of a merge as page streams, in bounded memory: small consecutive objects are gathered, newest page wins, and
 * written to a scratch file when they have grown; large ones are read from the store as the merge goes. Where that leaves
 * too many streams, neighbours are merged first. All scratch files lie in one directory and go with `close`.
 */
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import { type FetchedEntry, readAhead } from '../log/read-ahead.ts';
import { decodeLtxStream, type LtxStream } from '../ltx/decoder.ts';
import { encodeLtxStream } from '../ltx/encoder.ts';
import type { LtxHeader, LtxPage } from '../ltx/header.ts';
import { onDisk } from '../restore/page-file.ts';
import type { RestoreSource } from '../restore/restore.ts';
import { mergedHeader, mergePages, type PageStream } from './merge-stream.ts';

/** Pages gathered in memory before they become a scratch file. */
const RUN_BYTES = 16 * 1024 * 1024;
/** Streams that a merge reads at once; each has a few chunks in memory. */
const STREAMS_MAX = 12;
const READ_BYTES = 256 * 1024;

export interface InputDeps {
  readonly log: RestoreSource;
  /** A directory for scratch files of this merge alone; made when needed, removed by `close`. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  /** Called with the compressed bytes of each input as it has been taken in or opened. */
  readonly onInput?: (bytes: number) => void;
}

export class MergeInputs implements AsyncDisposable {
  readonly #deps: InputDeps;
  #streams: PageStream[] = [];
  #run = new PageRun();
  #files = 0;

  constructor(deps: InputDeps) {
    this.#deps = deps;
  }

  /** Takes in the entries, which are consecutive and in order. Throws SQLITE_LOG_GAP (`vanished`) when one is gone. */
  async load(entries: readonly LogEntry[]): Promise<{ header: LtxHeader; streams: readonly PageStream[] }> {
    const { log, signal } = this.#deps;
    for await (const { entry, fetched } of readAhead(log, entries, { signal })) {
      if (fetched === undefined) await this.#addLarge(entry);
      else await this.#addSmall(entry, await fetched);
      this.#deps.onInput?.(entry.size);
    }
    if (!this.#run.isEmpty) this.#push(this.#takeRun());
    const first = this.#streams[0];
    const last = this.#streams.at(-1);
    assert(first !== undefined && last !== undefined, 'nothing to merge');
    return { header: mergedHeader(first.header, last.header), streams: this.#streams };
  }

  async close(): Promise<void> {
    if (this.#files === 0) return;
    await rm(this.#deps.scratch, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #addSmall(entry: LogEntry, fetched: FetchedEntry | undefined): Promise<void> {
    if (fetched === undefined) throw vanished(this.#deps.log.bucket, entry);
    const ltx = fetched.decode();
    this.#checkPageSize(ltx.header, entry.name);
    this.#run.add(ltx.header, ltx.pages(), entry.name);
    if (this.#run.bytes >= RUN_BYTES) await this.#spill([this.#takeRun()]);
  }

  /** Only its header is read now; the rest when the merge asks for it. */
  async #addLarge(entry: LogEntry): Promise<void> {
    const { log, signal } = this.#deps;
    const opened = await log.open(entry.name, { signal });
    if (opened === undefined) throw vanished(log.bucket, entry);
    const { header } = opened.stream;
    await opened.stream.close();
    this.#checkPageSize(header, entry.name);
    if (!this.#run.isEmpty) this.#push(this.#takeRun());
    this.#push({ header, object: entry.name, batches: () => this.#reopened(entry) });
    if (this.#streams.length >= STREAMS_MAX) await this.#spill(this.#streams.splice(0));
  }

  async *#reopened(entry: LogEntry): AsyncGenerator<readonly LtxPage[]> {
    const { log, signal } = this.#deps;
    const opened = await log.open(entry.name, { signal });
    if (opened === undefined) throw vanished(log.bucket, entry);
    yield* opened.stream.batches();
  }

  #push(stream: PageStream): void {
    this.#streams.push(stream);
  }

  #takeRun(): PageStream {
    const run = this.#run;
    this.#run = new PageRun();
    return run.stream();
  }

  /** Merges neighbours into one scratch file. */
  async #spill(streams: readonly PageStream[]): Promise<void> {
    const first = streams[0] as PageStream;
    const last = streams.at(-1) as PageStream;
    const header = mergedHeader(first.header, last.header);
    const path = join(this.#deps.scratch, `${this.#files++}.ltx`);
    await onDisk(path, mkdir(this.#deps.scratch, { recursive: true }));
    const file = await onDisk(path, open(path, 'w', 0o600));
    try {
      for await (const chunk of encodeLtxStream(header, mergePages(streams, header))) {
        this.#deps.signal.throwIfAborted();
        await onDisk(path, file.writeFile(chunk));
      }
    } finally {
      await file.close();
    }
    this.#push({ header, object: path, batches: () => readScratch(path) });
    if (this.#streams.length >= STREAMS_MAX) await this.#spill(this.#streams.splice(0));
  }

  #checkPageSize(header: LtxHeader, object: string): void {
    const expected = (this.#streams[0]?.header ?? this.#run.header)?.pageSize ?? header.pageSize;
    if (header.pageSize === expected) return;
    throw sqliteErrors.create('SQLITE_PAGE_SIZE_MISMATCH', { object, actual: header.pageSize, expected });
  }
}

/** Small objects gathered in memory: of each page the newest. */
class PageRun {
  header: LtxHeader | undefined;
  bytes = 0;
  readonly #pages = new Map<number, Uint8Array>();
  #object = '';

  get isEmpty(): boolean {
    return this.header === undefined;
  }

  add(header: LtxHeader, pages: Iterable<LtxPage>, object: string): void {
    this.header = this.header === undefined ? mergedHeader(header, header) : mergedHeader(this.header, header);
    this.#object = object;
    for (const { pgno, data } of pages) {
      if (!this.#pages.has(pgno)) this.bytes += data.length;
      // A copy: the page may be a view that keeps the whole object's memory.
      this.#pages.set(pgno, data.slice());
    }
    for (const pgno of this.#pages.keys()) if (pgno > header.commit) this.#pages.delete(pgno);
  }

  stream(): PageStream {
    const { header } = this;
    assert(header !== undefined, 'an empty run');
    const sorted = [...this.#pages].sort((a, b) => a[0] - b[0]).map(([pgno, data]) => ({ pgno, data }));
    this.#pages.clear();
    return {
      header,
      object: this.#object,
      batches: async function* () {
        yield sorted;
      },
    };
  }
}

async function* readScratch(path: string): AsyncGenerator<readonly LtxPage[]> {
  const file = await open(path, 'r');
  try {
    const stream: LtxStream = await decodeLtxStream(chunksOf(file), path);
    yield* stream.batches();
  } finally {
    await file.close();
  }
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(new Uint8Array(READ_BYTES), 0, READ_BYTES);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

function vanished(bucket: string, entry: LogEntry): Error {
  return sqliteErrors.create('SQLITE_LOG_GAP', {
    bucket,
    from: entry.minTxid,
    to: entry.maxTxid,
    problem: 'deleted while it was being merged',
    vanished: true,
  });
}
