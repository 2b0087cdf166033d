/**
 * A KV bucket that refuses writes of the past: each entry says under which epoch it was written, and a writer with a lower
 * one is turned away. This is what makes a late leader harmless, whatever its clock and its timers did: the compare is on the
 * entry itself, and the write lands only on the revision that was compared.
 */
import { hasCode } from '@canopy/core';
import type { Kv } from '@canopy/nats';

export interface Shelved {
  readonly epoch: number;
  readonly value: number;
}

export class FencedShelf {
  readonly #kv: Kv;

  constructor(kv: Kv) {
    this.#kv = kv;
  }

  async read(key: string): Promise<Shelved | undefined> {
    return (await this.#look(key))?.shelved;
  }

  /** False when the shelf has seen a higher epoch: whoever writes is no longer the leader. */
  async write(key: string, value: number, epoch: number): Promise<boolean> {
    const bytes = new TextEncoder().encode(JSON.stringify({ epoch, value } satisfies Shelved));
    for (;;) {
      const seen = await this.#look(key);
      if (seen !== undefined && seen.shelved.epoch > epoch) return false;
      try {
        if (seen === undefined) await this.#kv.create(key, bytes);
        else await this.#kv.update(key, bytes, seen.revision);
        return true;
      } catch (error) {
        // Somebody wrote in between: look again, with whom.
        if (!hasCode(error, 'KV_CONFLICT')) throw error;
      }
    }
  }

  async #look(key: string): Promise<{ shelved: Shelved; revision: number } | undefined> {
    const entry = await this.#kv.get(key);
    if (entry === undefined) return undefined;
    return { shelved: JSON.parse(new TextDecoder().decode(entry.value)) as Shelved, revision: entry.revision };
  }
}
