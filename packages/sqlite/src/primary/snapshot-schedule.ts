/**
 * When a full image of the database is due: after its interval, or earlier when the log since the last one has become
 * long to replay and at least as large as an image would be, so that images never cost more than the log itself.
 */
import type { Clock } from '@canopy/core';

/** Fewer entries than this are replayed in about a second. */
const ENTRIES_MIN = 1000;
/** What an entry is taken for whose size is not known: two pages and their frame. */
const ENTRY_BYTES = 8 * 1024;

export interface SnapshotScheduleOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  /** Transaction at which the primary begins. */
  readonly txid: number;
}

export class SnapshotSchedule {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #txid: number;
  #bytes = 0;
  #dueAt: number;
  #isWanted = false;

  constructor({ clock, intervalMs, txid }: SnapshotScheduleOptions) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#txid = txid;
    this.#dueAt = clock.monotonic() + intervalMs;
  }

  /** The newest image in the log as an earlier primary left it: `txid` of 0 and no age when there is none. */
  inherit(newest: { readonly txid: number; readonly ageMs: number | undefined }): void {
    if (newest.txid >= this.#txid) return;
    this.#bytes += (this.#txid - newest.txid) * ENTRY_BYTES;
    this.#txid = newest.txid;
    const left = this.#intervalMs - Math.max(0, newest.ageMs ?? 0);
    this.#dueAt = Math.min(this.#dueAt, this.#clock.monotonic() + Math.max(0, left));
  }

  /** An entry of this size is in the log. */
  stored(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Whether one was asked for that is not begun yet. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** One is wanted now, whatever there is. */
  hurry(): void {
    this.#isWanted = true;
  }

  /** An image of this transaction is being stored. */
  begun(txid: number): void {
    this.#isWanted = false;
    this.#txid = txid;
    this.#bytes = 0;
    this.#dueAt = this.#clock.monotonic() + this.#intervalMs;
  }

  isDue(now: { readonly txid: number; readonly sizeBytes: number }): boolean {
    if (this.#isWanted) return true;
    const entries = now.txid - this.#txid;
    if (entries <= 0) return false;
    if (this.#clock.monotonic() >= this.#dueAt) return true;
    return entries >= ENTRIES_MIN && this.#bytes >= now.sizeBytes;
  }
}
