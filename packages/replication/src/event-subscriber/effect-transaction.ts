/**
 * What one handler wants changed, held back until it is committed together with the fact that its event was handled. Invariant: a handler that fails
 * leaves nothing behind.
 */
import { replicationErrors } from '../errors.ts';
import type { AtomicStore, StoreChange } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';

export interface EffectTransaction {
  /** As the store is, with the changes of this transaction. */
  get(space: string, key: string): Json | undefined;
  put(space: string, key: string, value: Json): void;
  delete(space: string, key: string): void;
}

/** Changes that one transaction may hold. */
const CHANGES_MAX = 100_000;

export class PendingEffects implements EffectTransaction {
  readonly #store: AtomicStore;
  readonly #changes = new Map<string, StoreChange>();
  #open = true;

  constructor(store: AtomicStore) {
    this.#store = store;
  }

  get(space: string, key: string): Json | undefined {
    const change = this.#changes.get(`${space}/${key}`);
    return change === undefined ? this.#store.get(space, key) : change.value;
  }

  put(space: string, key: string, value: Json): void {
    this.#change({ space, key, value });
  }

  delete(space: string, key: string): void {
    this.#change({ space, key, value: undefined });
  }

  /** Ends the transaction: a handler that kept it can't add to what was committed. @internal */
  close(): readonly StoreChange[] {
    this.#open = false;
    return [...this.#changes.values()];
  }

  #change(change: StoreChange): void {
    if (!this.#open) throw replicationErrors.create('SUBSCRIBER_EFFECT_LATE', { space: change.space, key: change.key });
    if (this.#changes.size >= CHANGES_MAX)
      throw replicationErrors.create('SUBSCRIBER_EFFECT_TOO_LARGE', { limit: CHANGES_MAX });
    this.#changes.set(`${change.space}/${change.key}`, change);
  }
}

/** What a handler gets where there is no store. */
export const NO_EFFECTS: EffectTransaction = {
  get: () => {
    throw replicationErrors.create('SUBSCRIBER_EFFECT_STORE_MISSING');
  },
  put: () => {
    throw replicationErrors.create('SUBSCRIBER_EFFECT_STORE_MISSING');
  },
  delete: () => {
    throw replicationErrors.create('SUBSCRIBER_EFFECT_STORE_MISSING');
  },
};
