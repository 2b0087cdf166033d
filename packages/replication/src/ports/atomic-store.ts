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

/** Synchronous, because a local transaction is; calls may throw STATE_STORE_FAILED, STATE_STORE_FULL, STATE_STORE_CLOSED. */
export interface AtomicStore {
  get(space: string, key: string): Json | undefined;
  /** All or nothing, in the order given; a later change of the same key wins. On return it survives the process, and with `durability: 'full'` the machine. */
  commit(changes: readonly StoreChange[]): void;
  /** In the order of the keys. */
  scan(space: string, options?: ScanOptions): readonly (readonly [key: string, value: Json])[];
  count(space: string): number;
  /** Idempotent. */
  close(): void;
}
