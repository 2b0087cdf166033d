/** Snapshots in memory, for tests and simulation: what all nodes share. */
import { type Clock, systemClock } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import { checkNamespace } from '../log/subjects.ts';
import type { SnapshotInfo, SnapshotStore } from '../ports/snapshot-store.ts';
import { LineWriter, readLines } from './lines.ts';

interface Stored {
  readonly info: SnapshotInfo;
  bytes: Uint8Array;
}

const PIECE_BYTES = 1024 * 1024;

export class MemorySnapshots implements SnapshotStore {
  readonly #clock: Clock;
  #stored: Stored[] = [];

  constructor(options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock;
  }

  async put(
    about: Pick<SnapshotInfo, 'namespace' | 'sequence' | 'epoch' | 'logCreatedAt'>,
    lines: AsyncIterable<string> | Iterable<string>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<SnapshotInfo> {
    checkNamespace(about.namespace, 'a snapshot');
    const writer = new LineWriter();
    const pieces: Uint8Array[] = [];
    for await (const piece of writer.pieces(lines)) {
      options.signal?.throwIfAborted();
      pieces.push(piece);
    }
    const { namespace, sequence, epoch, logCreatedAt } = about;
    const info = { namespace, sequence, epoch, logCreatedAt, ...writer.facts(), storedAt: this.#clock.wall() };
    this.#stored.push({ info, bytes: Buffer.concat(pieces) });
    return info;
  }

  async latest(namespace: string): Promise<SnapshotInfo | undefined> {
    return this.#of(namespace)[0]?.info;
  }

  async *read(
    info: SnapshotInfo,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<readonly string[]> {
    const { namespace, sequence } = info;
    const fail = (problem: string): Error =>
      replicationErrors.create('SNAPSHOT_DAMAGED', { namespace, sequence, problem });
    const stored = this.#find(info);
    if (stored === undefined) throw fail('it is not there any more');
    yield* readLines(pieces(stored.bytes, options.signal), info, fail);
  }

  async prune(namespace: string, keep: number): Promise<number> {
    const old = this.#of(namespace).slice(Math.max(1, Math.floor(keep)));
    this.#stored = this.#stored.filter((stored) => !old.includes(stored));
    return old.length;
  }

  /** Changes the stored bytes, as a fault of the storage would. */
  damage(info: SnapshotInfo, change: (bytes: Uint8Array) => Uint8Array): void {
    const stored = this.#find(info);
    if (stored !== undefined) stored.bytes = change(Uint8Array.from(stored.bytes));
  }

  #find(info: SnapshotInfo): Stored | undefined {
    return this.#of(info.namespace).find(
      (stored) => stored.info.sha256 === info.sha256 && stored.info.sequence === info.sequence,
    );
  }

  /** The newest log's first, and of one log the greatest sequence. */
  #of(namespace: string): Stored[] {
    return this.#stored
      .filter(({ info }) => info.namespace === namespace)
      .sort(({ info: a }, { info: b }) => b.logCreatedAt - a.logCreatedAt || b.sequence - a.sequence);
  }
}

async function* pieces(bytes: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    signal?.throwIfAborted();
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}
