/** The entities of a master over an atomic store, or in memory. Data may hold values that merge; they come back as such. */
import { decodeRecord, encodeRecord } from '../crdt/record-codec.ts';
import type { SpaceStore } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';
import type { Entity, StateManager } from '../ports/state-store.ts';
import { MemoryStore } from './memory-store.ts';

const BATCH = 2000;

export interface StateManagerOptions {
  /** Letters, digits, `-`, `_`, at most 128. Default `entities`. */
  readonly name?: string;
  /** The node that goes on changing values that merge; without one they can be read and merged. */
  readonly nodeId?: string;
}

/** Each call is one commit. Throws what the store throws, and REPLICATED_VALUE_INVALID for data that JSON can't carry. */
export function stateManager(atomic: SpaceStore, options: StateManagerOptions = {}): AtomicStateManager {
  return new AtomicStateManager(atomic, options);
}

/** Lives as long as its process. */
export function memoryStateManager(options: StateManagerOptions = {}): AtomicStateManager {
  return new AtomicStateManager(new MemoryStore(), options);
}

export class AtomicStateManager implements StateManager {
  readonly #atomic: SpaceStore;
  readonly #space: string;
  readonly #nodeId: string | undefined;

  constructor(atomic: SpaceStore, { name = 'entities', nodeId }: StateManagerOptions = {}) {
    this.#atomic = atomic;
    this.#space = name;
    this.#nodeId = nodeId;
  }

  async get(id: string): Promise<Entity | null> {
    const json = this.#atomic.get(this.#space, id);
    return json === undefined ? null : this.#entity(json);
  }

  async set(id: string, entity: Entity): Promise<void> {
    this.#atomic.commit([{ space: this.#space, key: id, value: encodeRecord(entity) }]);
  }

  /** Whether there was something. */
  async delete(id: string): Promise<boolean> {
    const existed = this.#atomic.version(this.#space, id) > 0;
    if (existed) this.#atomic.commit([{ space: this.#space, key: id, value: undefined }]);
    return existed;
  }

  /** All of them in memory, in the order of their ids. */
  async list(): Promise<readonly Entity[]> {
    const all: Entity[] = [];
    for (let after: string | undefined; ; ) {
      const rows = this.#atomic.scan(this.#space, { limit: BATCH, ...(after === undefined ? {} : { after }) });
      for (const [, json] of rows) all.push(this.#entity(json));
      if (rows.length < BATCH) return all;
      after = rows[rows.length - 1]?.[0];
    }
  }

  #entity(json: Json): Entity {
    return decodeRecord(json, this.#nodeId) as Entity;
  }
}
