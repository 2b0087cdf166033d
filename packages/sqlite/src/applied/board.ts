/**
 * Who has applied what, as a primary sees it: of each copy the newest report. A copy is a file of a node: without a platform
 * several may be on one machine, under one name. Invariants: a report counts only for the
 * very log and the very epoch of the primary that waits, and only when it came after the waiting began: so each copy
 * that is counted was alive and had it then. Pure.
 */
import { formatPosition, type Position } from '@canopy/core';
import { type AppliedReport, decodeReport, type LogIdentity } from './subjects.ts';

/** Copies remembered; past it the one that was silent for longest is forgotten. */
const COPIES_MAX = 1024;

/** A report that names no file is of the one copy of its node. */
type Copy = Pick<AppliedReport, 'node' | 'copy'>;

interface Heard {
  readonly copy: Copy;
  readonly position: Position;
  /** Number of the report, over all nodes. */
  readonly at: number;
}

export class AppliedBoard {
  readonly #log: LogIdentity;
  readonly #self: Copy;
  /** By node and file. */
  readonly #copies = new Map<string, Heard>();
  #reports = 0;

  /** `self` is the primary's own file, which never counts. */
  constructor(log: LogIdentity, self: Copy) {
    this.#log = log;
    this.#self = self;
  }

  /** Where waiting begins: only what comes later counts for it. */
  get mark(): number {
    return this.#reports;
  }

  /** Takes a message; false when it says nothing about this log. A lower position replaces a higher one: copies are made anew. */
  hear(message: Uint8Array): boolean {
    const report = decodeReport(message);
    if (report === undefined || !this.#concerns(report)) return false;
    const { node, copy, position } = report;
    const key = `${node}\0${copy ?? ''}`;
    this.#copies.delete(key);
    this.#copies.set(key, { copy: { node, copy }, position, at: ++this.#reports });
    const oldest = this.#copies.keys().next().value;
    if (this.#copies.size > COPIES_MAX && oldest !== undefined) this.#copies.delete(oldest);
    return true;
  }

  /** Who has said since `mark` to have `position`, written under its epoch: names of nodes, with the file where that is not enough. */
  have(position: Position, mark: number): string[] {
    const have: string[] = [];
    for (const heard of this.#copies.values())
      if (heard.at > mark && heard.position.epoch === position.epoch && heard.position.txid >= position.txid)
        have.push(this.#nameOf(heard.copy));
    return have.sort();
  }

  /** What each node said last, for people: `b at 3.00000000000000ff`. Of other epochs too. */
  describe(): string {
    const shown = [...this.#copies.values()].map(
      ({ copy, position }) => `${this.#nameOf(copy)} at ${formatPosition(position)}`,
    );
    return shown.length === 0 ? 'no standby has answered' : shown.sort().slice(0, 20).join(', ');
  }

  #nameOf({ node, copy }: Copy): string {
    const others = [...this.#copies.values()].some((heard) => heard.copy.node === node && heard.copy.copy !== copy);
    return copy !== undefined && (others || node === this.#self.node) ? `${node} (${copy})` : node;
  }

  #concerns({ bucket, createdAt, node, copy }: AppliedReport): boolean {
    const isOurs = node === this.#self.node && (copy === undefined || copy === this.#self.copy);
    return bucket === this.#log.bucket && createdAt === this.#log.createdAt && !isOurs;
  }
}
