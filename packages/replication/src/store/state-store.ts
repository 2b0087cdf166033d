/**
 * The state of a leader or follower over an atomic store: entries in one space, the position in another, changed in one commit. What
 * arrives to replace everything is gathered in a third space and moved into place at once; what a crash left there is removed
 * at the next opening.
 */
import { decodeRecord, encodeRecord } from '../crdt/record-codec.ts';
import { replicationErrors } from '../errors.ts';
import type { AtomicStoreView, SpaceStore, StoreChange } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';
import type {
  DurableStateStore,
  EncodedState,
  ReplicaPosition,
  StateChange,
  StateSnapshot,
} from '../ports/state-store.ts';
import { storeInputInvalid } from './store-key.ts';

/** Entries of one batch: of a commit while a snapshot arrives, and of what `snapshot` gives. */
const BATCH = 2000;
const POSITION = 'position';
const START: ReplicaPosition = { sequence: 0, epoch: 0 };

export interface StateStoreOptions {
  /** Several states may share a store under different names: letters, digits, `-`, `_`, at most 100. Default `state`. */
  readonly name?: string;
  /** The node that goes on changing values that merge; without one they can be read and merged. */
  readonly nodeId?: string;
}

/**
 * Values are what JSON can carry, and values that merge nested in it; others throw REPLICATED_VALUE_INVALID. Its owner closes `atomic`.
 * Versions are counted here: they are no part of a snapshot, and begin at 1 after `replace`.
 */
export function stateStore(atomic: SpaceStore, options: StateStoreOptions = {}): AtomicStateStore {
  return new AtomicStateStore(atomic, options);
}

type Encode = (value: unknown) => Json;

const asItIs = (value: unknown): Json => value as Json;

export class AtomicStateStore implements DurableStateStore {
  readonly #atomic: SpaceStore;
  readonly #nodeId: string | undefined;
  readonly #name: string;
  readonly #incoming: string;
  readonly #meta: string;
  /** Values here are JSON, and are kept and given as they are. */
  readonly encoded: EncodedState = {
    apply: (changes, position) => this.#apply(changes, position, asItIs),
    replace: (entries, position) => this.#replace(entries, position, asItIs),
    snapshot: () => this.#snapshot(asItIs),
  };
  #isReplacing = false;

  constructor(atomic: SpaceStore, { name = 'state', nodeId }: StateStoreOptions = {}) {
    this.#atomic = atomic;
    this.#nodeId = nodeId;
    this.#name = name;
    this.#incoming = `${name}-incoming`;
    this.#meta = `${name}-position`;
    this.#dropIncoming();
  }

  get(key: string): unknown {
    return this.#decoded(this.#atomic.get(this.#name, key));
  }

  set(key: string, value: unknown): number {
    if (value === undefined) throw storeInputInvalid(this.#name, 'undefined is no JSON; delete the key');
    this.#atomic.commit([this.#change(this.#name, { key, value })]);
    return this.getVersion(key);
  }

  delete(key: string): boolean {
    const existed = this.has(key);
    if (existed) this.#atomic.commit([{ space: this.#name, key, value: undefined }]);
    return existed;
  }

  has(key: string): boolean {
    return this.getVersion(key) > 0;
  }

  /** All entries in memory, in the order of their keys; `snapshot` gives them in batches. */
  getAll(): Map<string, unknown> {
    const all = new Map<string, unknown>();
    for (const batch of this.#batches(this.#atomic, (json) => this.#decoded(json)))
      for (const { key, value } of batch) all.set(key, value);
    return all;
  }

  getVersion(key: string): number {
    return this.#atomic.version(this.#name, key);
  }

  /** Removes all entries and the position. */
  clear(): void {
    this.#atomic.commit([{ space: this.#meta, key: POSITION, value: undefined }], [this.#move()]);
  }

  position(): ReplicaPosition {
    return positionIn(this.#atomic, this.#meta);
  }

  apply(changes: readonly StateChange[], position: ReplicaPosition): void {
    this.#apply(changes, position, encodeRecord);
  }

  /**
   * Keeps a batch in memory at a time and goes on answering reads from the present state. When `entries` fails, nothing was changed.
   * Changes made meanwhile are lost with what they changed. Throws STATE_STORE_FAILED while another one is under way.
   */
  async replace(entries: AsyncIterable<readonly StateChange[]>, position: ReplicaPosition): Promise<void> {
    await this.#replace(entries, position, encodeRecord);
  }

  snapshot(): StateSnapshot {
    return this.#snapshot((json) => this.#decoded(json));
  }

  #apply(changes: readonly StateChange[], position: ReplicaPosition, encode: Encode): void {
    const all = changes.map((change) => this.#change(this.#name, change, encode));
    all.push(this.#positionChange(position));
    this.#atomic.commit(all);
  }

  async #replace(
    entries: AsyncIterable<readonly StateChange[]>,
    position: ReplicaPosition,
    encode: Encode,
  ): Promise<void> {
    if (this.#isReplacing)
      throw replicationErrors.create('STATE_STORE_FAILED', {
        store: this.#name,
        problem: 'all of it is being replaced already',
      });
    this.#isReplacing = true;
    try {
      const change = this.#positionChange(position);
      this.#dropIncoming();
      for await (const batch of entries)
        for (let i = 0; i < batch.length; i += BATCH)
          this.#atomic.commit(batch.slice(i, i + BATCH).map((entry) => this.#change(this.#incoming, entry, encode)));
      this.#atomic.commit([change], [this.#move()]);
    } catch (error) {
      this.#dropQuietly();
      throw error;
    } finally {
      this.#isReplacing = false;
    }
  }

  #snapshot(decode: (json: Json) => unknown): StateSnapshot {
    const view = this.#atomic.snapshot();
    try {
      const position = positionIn(view, this.#meta);
      return { position, entries: once(this.#batches(view, decode), () => view.close()), close: () => view.close() };
    } catch (error) {
      view.close();
      throw error;
    }
  }

  *#batches(view: AtomicStoreView, decode: (json: Json) => unknown): Generator<readonly StateChange[]> {
    for (let after: string | undefined; ; ) {
      const rows = view.scan(this.#name, { limit: BATCH, ...(after === undefined ? {} : { after }) });
      if (rows.length === 0) return;
      after = rows[rows.length - 1]?.[0];
      yield rows.map(([key, value]) => ({ key, value: decode(value) }));
      if (rows.length < BATCH) return;
    }
  }

  #change(space: string, { key, value }: StateChange, encode: Encode = encodeRecord): StoreChange {
    return { space, key, value: value === undefined ? undefined : encode(value) };
  }

  #decoded(json: Json | undefined): unknown {
    return json === undefined ? undefined : decodeRecord(json, this.#nodeId);
  }

  #positionChange({ sequence, epoch, logCreatedAt }: ReplicaPosition): StoreChange {
    for (const number of [sequence, epoch, logCreatedAt ?? 0])
      if (!Number.isSafeInteger(number) || number < 0)
        throw storeInputInvalid(this.#name, `${number} is no sequence, epoch or time`);
    const value = { sequence, epoch, ...(logCreatedAt === undefined ? {} : { logCreatedAt }) };
    return { space: this.#meta, key: POSITION, value };
  }

  #move(): { from: string; to: string } {
    return { from: this.#incoming, to: this.#name };
  }

  /** A move from a space that never has anything empties one. */
  #dropIncoming(): void {
    if (this.#atomic.scan(this.#incoming, { limit: 1 }).length > 0)
      this.#atomic.commit([], [{ from: `${this.#name}-nothing`, to: this.#incoming }]);
  }

  #dropQuietly(): void {
    try {
      this.#dropIncoming();
    } catch {
      // The failure that led here is the one to tell of; the next opening removes it.
    }
  }
}

function positionIn(view: AtomicStoreView, space: string): ReplicaPosition {
  return (view.get(space, POSITION) as ReplicaPosition | undefined) ?? START;
}

/** Closes when the reading ends: at the end, on leaving early, and when nobody has begun. */
function once(batches: Generator<readonly StateChange[]>, close: () => void): Iterable<readonly StateChange[]> {
  const reading = (function* () {
    try {
      yield* batches;
    } finally {
      close();
    }
  })();
  return {
    [Symbol.iterator]: () => ({
      next: () => reading.next(),
      return: () => {
        close();
        return reading.return(undefined);
      },
    }),
  };
}
