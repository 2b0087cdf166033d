/**
 * A key of a bucket that only the present term can write. The epoch stands in the value and every write is a
 * compare-and-set, so check and write are one. Invariant: the epoch of the value never goes down.
 */
import { hasCode } from '@canopy/core';
import type { Kv } from '@canopy/nats';
import { decodeFenced, encodeFenced, type FencedValue } from './fenced-value.ts';
import { staleEpoch } from './guard.ts';

/** Somebody else writes as often as we do; more than this is somebody who never stops. */
const TRIES_MAX = 100;

export class FencedKey {
  readonly #kv: Kv;
  readonly #key: string;

  constructor(kv: Kv, key: string) {
    this.#kv = kv;
    this.#key = key;
  }

  /** The value, and the epoch that wrote it. Undefined when there is none. */
  async read(): Promise<FencedValue | undefined> {
    const entry = await this.#kv.get(this.#key);
    return entry === undefined ? undefined : decodeFenced(entry.value);
  }

  /**
   * Call first in a term: from when it resolves, earlier terms can't write any more, and the value it gives is the last of
   * theirs. ELECTION_EPOCH_STALE when a later term has been here.
   */
  async claim(epoch: number): Promise<Uint8Array | undefined> {
    const { before } = await this.#replace(epoch, (present) => present);
    return before;
  }

  /** ELECTION_EPOCH_STALE when a later term has been here; as `Kv.update` otherwise. */
  async write(epoch: number, value: Uint8Array): Promise<void> {
    await this.#replace(epoch, () => value);
  }

  async #replace(
    epoch: number,
    next: (present: Uint8Array) => Uint8Array,
  ): Promise<{ before: Uint8Array | undefined }> {
    for (let tries = 1; ; tries++) {
      const entry = await this.#kv.get(this.#key);
      const present = entry === undefined ? undefined : decodeFenced(entry.value);
      if (present !== undefined && present.epoch > epoch)
        throw staleEpoch(`key ${this.#kv.bucket}/${this.#key}`, epoch, present.epoch);
      const bytes = encodeFenced({ epoch, value: next(present?.value ?? new Uint8Array(0)) });
      try {
        if (entry === undefined) await this.#kv.create(this.#key, bytes);
        else await this.#kv.update(this.#key, bytes, entry.revision);
        return { before: present?.value };
      } catch (error) {
        if (!hasCode(error, 'KV_CONFLICT') || tries === TRIES_MAX) throw error;
      }
    }
  }
}
