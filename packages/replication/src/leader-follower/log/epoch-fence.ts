/**
 * Which records count: those of the greatest epoch that the log has shown so far. Pure, and the same on every replica, because
 * every replica is shown the same log.
 */
import type { EpochRecord, WriteRecord } from './log-records.ts';

export type Verdict = 'write' | 'epoch' | 'stale';

export class EpochFence {
  #epoch: number;
  #leaderId: string | undefined;
  #claim: string | undefined;

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Who claimed the epoch, if that record was seen. */
  get leaderId(): string | undefined {
    return this.#leaderId;
  }

  get claim(): string | undefined {
    return this.#claim;
  }

  copy(): EpochFence {
    const copy = new EpochFence(this.#epoch);
    [copy.#leaderId, copy.#claim] = [this.#leaderId, this.#claim];
    return copy;
  }

  judge(record: EpochRecord | WriteRecord): Verdict {
    if (record.type === 'replication.epoch') {
      if (record.epoch <= this.#epoch) return 'stale';
      [this.#epoch, this.#leaderId, this.#claim] = [record.epoch, record.node, record.claim];
      return 'epoch';
    }
    if (record.epoch < this.#epoch) return 'stale';
    if (record.epoch > this.#epoch) [this.#epoch, this.#leaderId, this.#claim] = [record.epoch, record.node, undefined];
    this.#leaderId ??= record.node;
    return 'write';
  }
}
