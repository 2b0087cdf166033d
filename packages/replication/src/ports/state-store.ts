/** The local states that a caller may bring: synchronous for leader and followers, asynchronous for masters. */

/** Of leader and followers. Versions count the writes of a key, from 1. */
export interface StateStore {
  get(key: string): unknown;
  /** Returns the key's version. */
  set(key: string, value: unknown): number;
  /** Whether there was something. */
  delete(key: string): boolean;
  has(key: string): boolean;
  getAll(): Map<string, unknown>;
  /** 0 for a key that is absent. */
  getVersion(key: string): number;
  /** Forgets everything, for whoever takes a replica away. */
  clear?(): void;
}

/** Where a replica stands. Sequences are the log's; epochs fence. */
export interface ReplicaPosition {
  readonly sequence: number;
  readonly epoch: number;
  /**
   * When the log was made that the sequence is of, Unix ms. Absent: not known. A store that keeps it lets a replica find out, also
   * after its restart, that the log was made anew.
   */
  readonly logCreatedAt?: number;
}

export interface StateChange {
  readonly key: string;
  /** Undefined: deleted. */
  readonly value: unknown;
}

/** A state store that keeps the position in the same transaction as the state: resuming loses and repeats nothing. */
export interface DurableStateStore extends StateStore {
  position(): ReplicaPosition;
  /** All changes and the position, or nothing. */
  apply(changes: readonly StateChange[], position: ReplicaPosition): void;
  /** Everything is replaced by these entries and the position, or nothing is: a snapshot arrives. */
  replace(entries: AsyncIterable<readonly StateChange[]>, position: ReplicaPosition): Promise<void>;
  /**
   * Batches of entries in the order of their keys, as they were at one moment, with the position of that moment. Entries can be read
   * once; the end of the reading, also an early one, lets go of what the snapshot holds.
   */
  snapshot(): StateSnapshot;
  /**
   * The same state, with values that are given and taken as `encodeRecord` makes them. Without it values that merge are restored
   * before they come here, where their kind is known.
   */
  readonly encoded?: EncodedState;
}

export type EncodedState = Pick<DurableStateStore, 'apply' | 'replace' | 'snapshot'>;

export interface StateSnapshot {
  readonly position: ReplicaPosition;
  readonly entries: Iterable<readonly StateChange[]>;
  /** For whoever doesn't read the entries after all. Idempotent. */
  readonly close?: () => void;
}

export function isDurableStateStore(store: StateStore): store is DurableStateStore {
  const { position, apply, replace, snapshot } = store as Partial<DurableStateStore>;
  return [position, apply, replace, snapshot].every((member) => typeof member === 'function');
}

/** What masters hold. */
export interface Entity {
  readonly $id: string;
  readonly $type: string;
  /** Counts the writes that this replica saw. */
  readonly $version: number;
  readonly data: Record<string, unknown>;
  /** Milliseconds, of the write that shows. */
  readonly updatedAt: number;
}

/** Of masters. May answer plain values instead of promises. */
export interface StateManager {
  get(id: string): Promise<Entity | null | undefined> | Entity | null | undefined;
  set(id: string, entity: Entity): Promise<void> | void;
  delete(id: string): Promise<unknown> | unknown;
  list(): Promise<readonly Entity[]> | readonly Entity[];
}
