/**
 * A k-way merge of LTX page streams by page number: of equal numbers the last source's wins, pages beyond the final size
 * are dropped. Every source is read to its end, because only then it is verified. Memory: one batch per source and one of
 * our own.
 */

import { sqliteErrors } from '../errors.ts';
import { type LtxHeader, type LtxPage, lockPage } from '../ltx/header.ts';
import { HeadHeap } from '../ltx/merge.ts';

const BATCH_BYTES = 256 * 1024;

/** One LTX file as the merge reads it. Batches ascend; one is valid until the next is asked for. */
export interface PageStream {
  readonly header: LtxHeader;
  readonly object: string;
  batches(): AsyncIterable<readonly LtxPage[]>;
}

/** The merged header: first transaction of the first, the rest of the last; no place in a WAL. */
export function mergedHeader(first: LtxHeader, last: LtxHeader): LtxHeader {
  return {
    pageSize: last.pageSize,
    commit: last.commit,
    minTxid: first.minTxid,
    maxTxid: last.maxTxid,
    timestamp: last.timestamp,
    walOffset: 0,
    walSize: 0,
    walSalt1: 0,
    walSalt2: 0,
  };
}

/**
 * The merged pages, in batches valid until the next one is asked for. Sources are in transaction order. Throws
 * SQLITE_LTX_INVALID when a source lets the database grow without bringing the new pages.
 */
export async function* mergePages(
  sources: readonly PageStream[],
  header: LtxHeader,
): AsyncGenerator<readonly LtxPage[]> {
  const { pageSize, commit } = header;
  const cursors = sources.map((source, i) => new Cursor(source, sources[i - 1]?.header.commit));
  const heap = new HeadHeap();
  const buffer = new Uint8Array(Math.max(BATCH_BYTES, pageSize));
  let batch: LtxPage[] = [];
  const isImage = header.minTxid === 1;
  let done = 0;
  try {
    for (const [i, cursor] of cursors.entries()) {
      const page = await cursor.next();
      if (page !== undefined) heap.push(i, page);
    }
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const { page, file } = top;
      if (page.pgno !== done && page.pgno <= commit) {
        if (isImage) checkContiguous(header, done, page.pgno);
        done = page.pgno;
        const data = buffer.subarray(batch.length * pageSize, (batch.length + 1) * pageSize);
        data.set(page.data);
        batch.push({ pgno: page.pgno, data });
        if ((batch.length + 1) * pageSize > buffer.length) {
          yield batch;
          batch = [];
        }
      }
      const cursor = cursors[file] as Cursor;
      const next = cursor.ready() ?? (await cursor.next());
      if (next !== undefined) heap.push(file, next);
    }
    if (batch.length > 0) yield batch;
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.close()));
  }
}

/** A full image has every page but the lock page. */
function checkContiguous(header: LtxHeader, before: number, pgno: number): void {
  const lock = lockPage(header.pageSize);
  if (pgno === (before + 1 === lock ? lock + 1 : before + 1)) return;
  const object = `the merge of transactions 1 to ${header.maxTxid}`;
  throw sqliteErrors.create('SQLITE_LTX_INVALID', { object, problem: `a full image without page ${before + 1}` });
}

/** Walks one source page by page, and counts the pages by which it grows the database. */
class Cursor {
  readonly #source: PageStream;
  readonly #before: number;
  readonly #batches: AsyncIterator<readonly LtxPage[]>;
  #batch: readonly LtxPage[] = [];
  #at = 0;
  #grown = 0;

  /** `before`: size of the database before it, in pages; undefined where that is not known. */
  constructor(source: PageStream, before: number | undefined) {
    this.#source = source;
    this.#before = source.header.minTxid === 1 ? 0 : (before ?? Number.POSITIVE_INFINITY);
    this.#batches = source.batches()[Symbol.asyncIterator]();
  }

  /** The next page where it is there without waiting. */
  ready(): LtxPage | undefined {
    const page = this.#batch[this.#at];
    if (page === undefined) return undefined;
    this.#at++;
    if (page.pgno > this.#before) this.#grown++;
    return page;
  }

  async next(): Promise<LtxPage | undefined> {
    for (let page = this.ready(); ; page = this.ready()) {
      if (page !== undefined) return page;
      const next = await this.#batches.next();
      if (next.done) {
        this.#checkGrowth();
        return undefined;
      }
      this.#batch = next.value;
      this.#at = 0;
    }
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }

  /** Pages that nobody brought would read as zeros. */
  #checkGrowth(): void {
    const { header, object } = this.#source;
    if (header.commit <= this.#before) return;
    const lock = lockPage(header.pageSize);
    const expected = header.commit - this.#before - (lock > this.#before && lock <= header.commit ? 1 : 0);
    if (this.#grown === expected) return;
    const problem = `it lets the database grow to ${header.commit} pages, but has ${this.#grown} of the ${expected} new ones`;
    throw sqliteErrors.create('SQLITE_LTX_INVALID', { object, problem });
  }
}
