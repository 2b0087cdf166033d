/** Several consecutive LTX files as one: the newest image of each page wins, pages beyond the final size go. */
import { assert } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { DecodedLtx } from './decoder.ts';
import type { LtxHeader, LtxPage } from './header.ts';

/**
 * Merges files given in transaction order. They may overlap but not leave a gap (SQLITE_LOG_GAP), and must have one page
 * size (SQLITE_PAGE_SIZE_MISMATCH). The header has no WAL position: pass the result to encodeLtx, or apply its pages.
 */
export function mergeLtx(files: readonly DecodedLtx[]): { header: LtxHeader; pages: Iterable<LtxPage> } {
  const first = files[0];
  const last = files.at(-1);
  assert(first !== undefined && last !== undefined, 'nothing to merge');
  for (let i = 1; i < files.length; i++)
    checkNext((files[i - 1] as DecodedLtx).header, (files[i] as DecodedLtx).header);
  const header: LtxHeader = {
    pageSize: first.header.pageSize,
    commit: last.header.commit,
    minTxid: first.header.minTxid,
    maxTxid: last.header.maxTxid,
    timestamp: last.header.timestamp,
    walOffset: 0,
    walSize: 0,
    walSalt1: 0,
    walSalt2: 0,
  };
  return { header, pages: { [Symbol.iterator]: () => newest(files, header.commit) } };
}

function checkNext(before: LtxHeader, after: LtxHeader): void {
  const object = `transaction ${after.minTxid}`;
  if (after.pageSize !== before.pageSize)
    throw sqliteErrors.create('SQLITE_PAGE_SIZE_MISMATCH', {
      object,
      actual: after.pageSize,
      expected: before.pageSize,
    });
  if (after.minTxid > before.maxTxid + 1 || after.maxTxid <= before.maxTxid)
    throw sqliteErrors.create('SQLITE_LOG_GAP', {
      bucket: '(merge)',
      from: before.maxTxid + 1,
      to: after.minTxid - 1,
      problem: `files ending at ${before.maxTxid} and starting at ${after.minTxid} are not consecutive`,
    });
}

/** A k-way merge by page number over the files' own ascending order; of equal numbers the last file's wins. */
function* newest(files: readonly DecodedLtx[], commit: number): Generator<LtxPage> {
  const iterators = files.map((file) => file.pages()[Symbol.iterator]());
  const heads = iterators.map((iterator) => iterator.next());
  const heap = new HeadHeap();
  heads.forEach((head, i) => {
    if (!head.done) heap.push(i, head.value);
  });
  let done = 0;
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const { page, file } = top;
    const next = (iterators[file] as Iterator<LtxPage>).next();
    if (!next.done) heap.push(file, next.value);
    if (page.pgno === done) continue;
    if (page.pgno > commit) return;
    done = page.pgno;
    yield page;
  }
}

interface Head {
  readonly page: LtxPage;
  readonly file: number;
}

/** Smallest page number first, of equal ones the newest file. */
export class HeadHeap {
  readonly #heads: Head[] = [];

  push(file: number, page: LtxPage): void {
    const heads = this.#heads;
    let i = heads.push({ page, file }) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(heads[i] as Head, heads[parent] as Head)) break;
      swap(heads, i, parent);
      i = parent;
    }
  }

  pop(): Head | undefined {
    const heads = this.#heads;
    const top = heads[0];
    const last = heads.pop();
    if (top === undefined || last === undefined || heads.length === 0) return top;
    heads[0] = last;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heads.length && before(heads[child] as Head, heads[least] as Head)) least = child;
      if (least === i) return top;
      swap(heads, i, least);
      i = least;
    }
  }
}

function before(a: Head, b: Head): boolean {
  return a.page.pgno < b.page.pgno || (a.page.pgno === b.page.pgno && a.file > b.file);
}

function swap(heads: Head[], a: number, b: number): void {
  [heads[a], heads[b]] = [heads[b] as Head, heads[a] as Head];
}
