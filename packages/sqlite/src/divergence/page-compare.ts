/**
 * Whether two closed database files hold the same data, page by page. What belongs to a file rather than to its data
 * (journal mode, change counters) does not count; nor do pages that both files hold on their free lists as leaves,
 * whose content SQLite neither reads nor always writes.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { lockPage } from '../ltx/header.ts';
import { HEADER_SIZE, maskFileOwned, readFileHeader } from '../standby/page-one.ts';

export interface PageComparison {
  readonly same: boolean;
  /** Pages that differ, the size difference included. */
  readonly differing: number;
}

/**
 * Compares whole files by reading both once. Must not be called while SQLite holds locks on either in this process:
 * closing our descriptors would drop them.
 */
export function comparePages(left: string, right: string): PageComparison {
  const a = openSync(left, 'r');
  const b = openSync(right, 'r');
  try {
    return compareOpen(a, b);
  } finally {
    closeSync(a);
    closeSync(b);
  }
}

function compareOpen(a: number, b: number): PageComparison {
  const headers = [a, b].map((fd) => {
    const bytes = new Uint8Array(HEADER_SIZE);
    readSync(fd, bytes, 0, HEADER_SIZE, 0);
    return readFileHeader(bytes);
  });
  const pageSize = headers[0]?.pageSize;
  if (pageSize === undefined || pageSize !== headers[1]?.pageSize) return { same: false, differing: 1 };
  const sizes = [a, b].map((fd) => Math.floor(fstatSync(fd).size / pageSize)) as [number, number];
  const shared = Math.min(...sizes);
  const unused = freeLeaves(a, pageSize);
  const unusedToo = freeLeaves(b, pageSize);
  let differing = Math.abs(sizes[0] - sizes[1]);
  const pageA = Buffer.alloc(pageSize);
  const pageB = Buffer.alloc(pageSize);
  const skipped = lockPage(pageSize);
  for (let pgno = 1; pgno <= shared; pgno++) {
    if (pgno === skipped) continue;
    readSync(a, pageA, 0, pageSize, (pgno - 1) * pageSize);
    readSync(b, pageB, 0, pageSize, (pgno - 1) * pageSize);
    if (pageA.equals(pageB)) continue;
    if (pgno === 1 && Buffer.from(maskFileOwned(pageA)).equals(maskFileOwned(pageB))) continue;
    if (unused.has(pgno) && unusedToo.has(pgno)) continue;
    differing += 1;
  }
  return { same: differing === 0, differing };
}

/** Page numbers on the free list that are leaves of it. Stops at the first sign of a damaged list. */
function freeLeaves(fd: number, pageSize: number): Set<number> {
  const leaves = new Set<number>();
  const page = new Uint8Array(pageSize);
  const view = new DataView(page.buffer);
  readSync(fd, page, 0, pageSize, 0);
  const seen = new Set<number>();
  let trunk = view.getUint32(32);
  while (trunk !== 0 && !seen.has(trunk)) {
    seen.add(trunk);
    if (readSync(fd, page, 0, pageSize, (trunk - 1) * pageSize) < pageSize) break;
    const count = view.getUint32(4);
    if (count > pageSize / 4 - 2) break;
    for (let i = 0; i < count; i++) leaves.add(view.getUint32(8 + 4 * i));
    trunk = view.getUint32(0);
  }
  return leaves;
}
