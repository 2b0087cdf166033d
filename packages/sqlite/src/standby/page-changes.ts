/**
 * The pages that one apply writes, as the replica file asks for them: in ascending order and as often as it needs, so
 * that they may lie in memory or in a file and the memory of an apply does not depend on their number.
 */
import type { Position } from '@canopy/core';
import type { LtxPage } from '../ltx/header.ts';

export interface PageChanges {
  /** Ascending, each once. */
  numbers(): Iterable<number>;
  /** In the same order. A page's data are valid until the next one is asked for. */
  pages(): Iterable<LtxPage>;
  /** Page 1; undefined when it is not among them. */
  first(): Uint8Array | undefined;
}

/** What brings a file to `to`, from any position that the changes include. */
export interface PageBatch {
  readonly to: Position;
  readonly pageSize: number;
  /** Size of the database in pages afterwards. */
  readonly commit: number;
  /** Whole pages; the newest version of each. */
  readonly changes: PageChanges;
}

/** Pages in memory: the map must not change afterwards. */
export class MemoryPages implements PageChanges {
  readonly #pages: ReadonlyMap<number, Uint8Array>;
  readonly #order: Uint32Array;

  constructor(pages: ReadonlyMap<number, Uint8Array>) {
    this.#pages = pages;
    this.#order = Uint32Array.from(pages.keys()).sort();
  }

  numbers(): Iterable<number> {
    return this.#order;
  }

  *pages(): Generator<LtxPage> {
    for (const pgno of this.#order) yield { pgno, data: this.#pages.get(pgno) as Uint8Array };
  }

  first(): Uint8Array | undefined {
    return this.#pages.get(1);
  }
}
