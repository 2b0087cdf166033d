/**
 * Writes of one topic's checkpoint, one at a time: a store never sees an older position after a newer one, whatever its answers take. A write that
 * failed is reported and made again with the next.
 */
import type { CheckpointStore } from '../ports/checkpoint-store.ts';

export class CheckpointWriter {
  readonly #store: CheckpointStore;
  readonly #key: string;
  readonly #onError: (error: Error) => void;
  #stored: number | undefined;
  #wanted: number | undefined;
  #writing: Promise<void> | undefined;

  constructor(store: CheckpointStore, key: string, onError: (error: Error) => void) {
    this.#store = store;
    this.#key = key;
    this.#onError = onError;
  }

  /** Resolves when the store has this position, or a later call's, or refused it. Does nothing when the store has it. Never rejects. */
  write(offset: number): Promise<void> {
    if (this.#writing === undefined && offset === this.#stored) return Promise.resolve();
    this.#wanted = offset;
    this.#writing ??= this.#run().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  /** As `write`, for a caller that wants to know: rejects when the store refuses. */
  async demand(offset: number): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#store.set(this.#key, offset);
    this.#stored = offset;
  }

  async #run(): Promise<void> {
    while (this.#wanted !== undefined) {
      const offset = this.#wanted;
      this.#wanted = undefined;
      if (offset === this.#stored) continue;
      try {
        await this.#store.set(this.#key, offset);
        this.#stored = offset;
      } catch (error) {
        // What the store has is unknown now: the next position is written in any case.
        this.#stored = undefined;
        this.#onError(error as Error);
      }
    }
  }
}
