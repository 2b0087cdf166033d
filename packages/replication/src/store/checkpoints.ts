/** Where a subscriber has got to: in an atomic store, where a commit outlives the process, or in memory. */
import type { AtomicStore } from '../ports/atomic-store.ts';
import type { CheckpointStore } from '../ports/checkpoint-store.ts';
import { MemoryStore } from './memory-store.ts';
import { storeInputInvalid } from './store-key.ts';

const BATCH = 1000;

export interface CheckpointsOptions {
  /** Letters, digits, `-`, `_`, at most 128; subscribers of one store take different ones. Default `checkpoints`. */
  readonly name?: string;
}

/** Over any atomic store. Offsets are whole numbers from 0; others throw STATE_STORE_INPUT_INVALID. */
export function sqliteCheckpoints(atomic: AtomicStore, options: CheckpointsOptions = {}): CheckpointStore {
  return new AtomicCheckpointStore(atomic, options);
}

class AtomicCheckpointStore implements CheckpointStore {
  readonly #atomic: AtomicStore;
  readonly #space: string;

  constructor(atomic: AtomicStore, { name = 'checkpoints' }: CheckpointsOptions = {}) {
    this.#atomic = atomic;
    this.#space = name;
  }

  async get(key: string): Promise<number | null> {
    return (this.#atomic.get(this.#space, key) as number | undefined) ?? null;
  }

  async set(key: string, offset: number): Promise<void> {
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw storeInputInvalid(this.#space, `${offset} is no offset: a whole number from 0`);
    this.#atomic.commit([{ space: this.#space, key, value: offset }]);
  }

  async delete(key: string): Promise<void> {
    this.#atomic.commit([{ space: this.#space, key, value: undefined }]);
  }

  async getAll(): Promise<Map<string, number>> {
    const all = new Map<string, number>();
    for (let after: string | undefined; ; ) {
      const rows = this.#atomic.scan(this.#space, { limit: BATCH, ...(after === undefined ? {} : { after }) });
      for (const [key, offset] of rows) all.set(key, offset as number);
      if (rows.length < BATCH) return all;
      after = rows[rows.length - 1]?.[0];
    }
  }
}

/** For tests, and subscribers that begin anew with their process. */
export class MemoryCheckpointStore extends AtomicCheckpointStore {
  constructor() {
    super(new MemoryStore({ name: 'checkpoints' }));
  }
}
