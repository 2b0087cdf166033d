/**
 * Full images of a primary's database: when one is due, and storing it beside the shipping (what it makes
 * superfluous is the log keeper's business). Invariant: one image at a time; a failure never stops the log.
 */
import { messageOf, type Position } from '@canopy/core';
import { createSnapshot } from '../restore/snapshot.ts';
import type { ImageSource } from './live-database.ts';
import type { PrimaryDeps } from './primary.ts';
import { SnapshotSchedule } from './snapshot-schedule.ts';

/** To list a long log keeps this thread busy, and an application waits for its first write after a promotion. */
const INHERIT_MS = 1000;

export class SnapshotKeeper {
  readonly #deps: PrimaryDeps;
  readonly #schedule: SnapshotSchedule;
  #isStoring = false;
  #lastStoredAt: number | undefined;

  /** `txid`: the transaction at which the primary begins. */
  constructor(deps: PrimaryDeps, txid: number) {
    this.#deps = deps;
    this.#schedule = new SnapshotSchedule({
      clock: deps.env.clock,
      intervalMs: deps.options.snapshotIntervalMs,
      txid,
    });
  }

  /** An image is being read: its pages must stay where they are. */
  get isStoring(): boolean {
    return this.#isStoring;
  }

  /** Unix ms of the newest image in the log; undefined while it is not known, or where there is none. */
  get lastStoredAt(): number | undefined {
    return this.#lastStoredAt;
  }

  /** The next is due at once. */
  hurry(): void {
    this.#schedule.hurry();
  }

  entryStored(bytes: number): void {
    this.#schedule.stored(bytes);
  }

  isDue(now: { readonly txid: number; readonly sizeBytes: number }): boolean {
    return !this.#isStoring && this.#schedule.isDue(now);
  }

  /** What earlier primaries left to replay counts as well, and images have their age by the store's clock. Without an answer the schedule begins anew. */
  async inherit(signal: AbortSignal): Promise<void> {
    const { log, env } = this.#deps;
    try {
      await env.clock.sleep(INHERIT_MS, { signal });
      const newest = (await log.snapshots({ signal })).at(-1);
      this.#lastStoredAt ??= newest?.storedAt;
      const { now } = await log.store.bucketInfo({ signal });
      const ageMs = newest === undefined ? undefined : now - newest.storedAt;
      this.#schedule.inherit({ txid: newest?.maxTxid ?? 0, ageMs });
    } catch (error) {
      if (!signal.aborted) env.log.warn('snapshots_not_listed', { reason: messageOf(error) });
    }
  }

  /**
   * Stores the image of `position`, unless it has moved on by the time it was read. Resolves also when it failed: the next
   * interval tries again.
   */
  async store(position: Position, source: ImageSource, signal: AbortSignal): Promise<void> {
    const { env, log, epoch, node, onEvent } = this.#deps;
    const { pageEncoding } = this.#deps.options;
    const startedAt = env.clock.monotonic();
    this.#isStoring = true;
    // What is there for this very position may be what the one that is wanted is to stand in for.
    const replace = this.#schedule.isWanted;
    this.#schedule.begun(position.txid);
    try {
      const timestamp = env.clock.wall();
      const what = { log, epoch, node, txid: position.txid, timestamp, pageEncoding, replace };
      const entry = await createSnapshot({ ...what, source, check: () => source.check(), signal });
      this.#lastStoredAt = entry.storedAt;
      const ms = env.clock.monotonic() - startedAt;
      onEvent({ type: 'snapshot_created', position, bytes: entry.size, ms });
    } catch (error) {
      if (!signal.aborted) onEvent({ type: 'warning', code: 'SNAPSHOT_FAILED', message: messageOf(error) });
    } finally {
      this.#isStoring = false;
    }
  }
}
