/**
 * Who has applied what, as a primary sees it: of each node the newest report. Invariants: a report counts only for the
 * very log and the very epoch of the primary that waits, and only when it came after the waiting began: so each node
 * that is counted was alive and had it then. Pure.
 */
import { formatPosition, type Position } from '@canopy/core';
import { type AppliedReport, decodeReport, type LogIdentity } from './subjects.ts';

/** Nodes remembered; past it the one that was silent for longest is forgotten. */
const NODES_MAX = 1024;

interface Heard {
  readonly position: Position;
  /** Number of the report, over all nodes. */
  readonly at: number;
}

export class AppliedBoard {
  readonly #log: LogIdentity;
  readonly #self: string;
  readonly #nodes = new Map<string, Heard>();
  #reports = 0;

  /** `self` is the primary's own node, which never counts. */
  constructor(log: LogIdentity, self: string) {
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
    this.#nodes.delete(report.node);
    this.#nodes.set(report.node, { position: report.position, at: ++this.#reports });
    const oldest = this.#nodes.keys().next().value;
    if (this.#nodes.size > NODES_MAX && oldest !== undefined) this.#nodes.delete(oldest);
    return true;
  }

  /** Nodes that have said since `mark` that they have `position`, written under its epoch. */
  have(position: Position, mark: number): string[] {
    const nodes: string[] = [];
    for (const [node, heard] of this.#nodes)
      if (heard.at > mark && heard.position.epoch === position.epoch && heard.position.txid >= position.txid)
        nodes.push(node);
    return nodes.sort();
  }

  /** What each node said last, for people: `b at 3.00000000000000ff`. Of other epochs too. */
  describe(): string {
    const shown = [...this.#nodes].map(([node, { position }]) => `${node} at ${formatPosition(position)}`);
    return shown.length === 0 ? 'no standby has answered' : shown.sort().slice(0, 20).join(', ');
  }

  #concerns({ bucket, createdAt, node }: AppliedReport): boolean {
    return bucket === this.#log.bucket && createdAt === this.#log.createdAt && node !== this.#self;
  }
}
