/**
 * A local keyed store whose changes come all or none: the ground under durable replicas. State, the position in the log that it
 * stands for, clocks and the outbox change together, so a replica that dies at any instant wakes up as it was before
 * or after a commit, never between.
 */
import type { Json } from './event-log.ts';

export interface StoreChange {
  /** A table of its own: letters, digits, `-`, `_`. Made when first written to. */
  readonly space: string;
  /** Any text up to 1 KiB. */
  readonly key: string;
  /** Undefined: the key is removed. */
  readonly value: Json | undefined;
}

export interface ScanOptions {
  /** Keys greater than this, by Unicode code points. Default: from the first. */
  readonly after?: string;
  /** Keys that begin with this. */
  readonly prefix?: string;
  /** Default 1000. */
  readonly limit?: number;
}

/** Everything that `to` had goes, and it has what `from` had; `from` is empty then. So a move from an empty space clears. */
export interface SpaceMove {
  readonly from: string;
  readonly to: string;
}

/** What can be read; of a snapshot, as it was when that was taken. */
export interface AtomicStoreView {
  get(space: string, key: string): Json | undefined;
  /** In the order of the keys. */
  scan(space: string, options?: ScanOptions): readonly (readonly [key: string, value: Json])[];
  /** Reads the whole space: not for a hot path. */
  count(space: string): number;
  /** Idempotent. */
  close(): void;
}

/**
 * Synchronous, because a local transaction is; calls may throw STATE_STORE_FAILED, STATE_STORE_FULL, STATE_STORE_CLOSED, and
 * STATE_STORE_INPUT_INVALID for names, keys and values that it can't keep.
 */
export interface AtomicStore extends AtomicStoreView {
  /** All or nothing, in the order given; a later change of the same key wins. On return it survives the process, and with `durability: 'full'` the machine. */
  commit(changes: readonly StoreChange[]): void;
}

/** What a whole state needs besides, to be replaced at once and read while it changes. */
export interface SpaceStore extends AtomicStore {
  /** First the moves, then the changes, in one commit. A move changes no rows: it costs a list entry, and the freeing of what it replaces. */
  commit(changes: readonly StoreChange[], moves?: readonly SpaceMove[]): void;
  /** How often the key was written since it came to be, from 1; 0 when it is absent. A moved space keeps its counts. */
  version(space: string, key: string): number;
  /** The store as it is now, while it goes on changing. Close it soon: until then the store can't reuse the room of what it replaces. */
  snapshot(): AtomicStoreView;
}
