/**
 * What a durable master keeps, and where. Changes are collected and go to the store together; a read sees them at once. Names of spaces and
 * keys are what is on disk: do not change them.
 *
 *   entities    id → record        outbox  number → event       waiting  author, number → event
 *   tombstones  id → 1             pending id → conflict        meta     self, reader
 */
import type { AtomicStore, StoreChange } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';
import type { CausalOrderState } from './causal-order.ts';
import { type EntityRecord, isTombstone } from './entity-record.ts';
import type { ClockRecord } from './event.ts';
import type { MembersState } from './members.ts';
import type { Settlement } from './settlement.ts';

/** Written with every write of this master. */
export interface SelfState {
  readonly masterId: string;
  readonly incarnation: string;
  readonly counter: number;
  readonly hlc: string | null;
  /** The last event of the log when the identity was taken: which lives of this master it knew of. */
  readonly since?: number;
  /** Where its announcement is in the log; 0: not yet known. */
  readonly joinedAt: number;
}

/** Written with what comes from the log. */
export interface ReaderState {
  readonly position: number;
  readonly logCreatedAt: number;
  readonly order: CausalOrderState;
  readonly members: MembersState;
  /** Deletes that all had seen up to here are forgotten. */
  readonly collected: ClockRecord;
  readonly hlc: string | null;
}

export type Space = 'entities' | 'outbox' | 'waiting' | 'tombstones' | 'pending' | 'meta';

const PAGE = 500;

export class DurableState {
  readonly #store: AtomicStore;
  readonly #changes = new Map<string, Map<string, StoreChange>>();
  #pending = 0;

  constructor(store: AtomicStore) {
    this.#store = store;
  }

  /** Changes that are not in the store yet. */
  get pending(): number {
    return this.#pending;
  }

  get<T>(space: Space, key: string): T | undefined {
    const change = this.#pending === 0 ? undefined : this.#changes.get(space)?.get(key);
    return (change === undefined ? this.#store.get(space, key) : change.value) as T | undefined;
  }

  /** Undefined removes it. Goes to the store with the next `flush`. */
  set(space: Space, key: string, value: unknown): void {
    const changes = this.#changes.get(space) ?? new Map<string, StoreChange>();
    const before = changes.size;
    if (before === 0) this.#changes.set(space, changes);
    changes.set(key, put(space, key, value));
    this.#pending += changes.size - before;
  }

  /** All that was collected, and these, in one commit. When it throws, what was collected stays so, and these are forgotten. */
  flush(extra: readonly StoreChange[] = []): void {
    if (this.#pending === 0 && extra.length === 0) return;
    const changes: StoreChange[] = [];
    for (const each of this.#changes.values()) for (const change of each.values()) changes.push(change);
    for (const change of extra) changes.push(change);
    this.#store.commit(changes);
    this.#changes.clear();
    this.#pending = 0;
  }

  /** Page by page, what is in the store; what is collected must have been flushed. */
  *pages<T>(space: Space): Generator<readonly (readonly [key: string, value: T])[]> {
    for (let after: string | undefined; ; ) {
      const page = this.#store.scan(space, { limit: PAGE, ...(after === undefined ? {} : { after }) });
      if (page.length > 0) yield page as unknown as readonly (readonly [string, T])[];
      if (page.length < PAGE) return;
      after = (page.at(-1) as readonly [string, Json])[0];
    }
  }

  /** Those that begin so, whether stored or collected. */
  keys(space: Space, prefix: string): string[] {
    const keys = new Set<string>();
    for (let after = ''; ; ) {
      const page = this.#store.scan(space, { prefix, limit: PAGE, ...(after === '' ? {} : { after }) });
      for (const [key] of page) keys.add(key);
      if (page.length < PAGE) break;
      after = (page.at(-1) as readonly [string, Json])[0];
    }
    for (const change of this.#changes.get(space)?.values() ?? []) {
      if (!change.key.startsWith(prefix)) continue;
      if (change.value === undefined) keys.delete(change.key);
      else keys.add(change.key);
    }
    return [...keys];
  }

  /** The first of them, from a key on. */
  first<T>(space: Space, limit: number, after?: string): readonly (readonly [key: string, value: T])[] {
    const page = this.#store.scan(space, { limit, ...(after === undefined ? {} : { after }) });
    return page as unknown as readonly (readonly [string, T])[];
  }

  count(space: Space): number {
    return this.#store.count(space);
  }
}

/** A change of one key, for `flush`. */
export function put(space: Space, key: string, value: unknown): StoreChange {
  return { space, key, value: value as Json | undefined };
}

/** Numbers as keys that sort as they count. */
export function numberKey(number: number): string {
  return String(number).padStart(16, '0');
}

/** No more than differs: most of the time of a write is its commit. */
export function changesOf(id: string, before: EntityRecord | undefined, { record, known }: Settlement): StoreChange[] {
  if (known) return [];
  const gone = isTombstone(record);
  const changes = [put('entities', id, record)];
  if (gone || (before !== undefined && isTombstone(before))) changes.push(put('tombstones', id, gone ? 1 : undefined));
  return changes;
}
