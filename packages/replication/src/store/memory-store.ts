/**
 * A store in memory: the twin of a file, for tests and simulation. It keeps the texts that a file would, so nobody shares an object with
 * it, and refuses the same input. What was committed survives `crash`, as it survives the death of a process.
 */
import { assert } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { AtomicStoreView, ScanOptions, SpaceMove, SpaceStore, StoreChange } from '../ports/atomic-store.ts';
import type { Json } from '../ports/event-log.ts';
import { MemorySpace } from './memory-space.ts';
import { checkKey, checkSpace, storeClosed, valueText } from './store-key.ts';

const SCAN_LIMIT = 1000;

/**
 * What happens to a commit: `failed` and `full` are refused and change nothing; at `crash-before` and `crash-after` the process dies on
 * either side of it, so the call throws STATE_STORE_CLOSED, as every later one does.
 */
export type CommitFault = 'failed' | 'full' | 'crash-before' | 'crash-after';

export interface MemoryStoreOptions {
  /** For messages. Default `memory`. */
  readonly name?: string;
  /** Asked before each commit; for tests. */
  readonly fault?: ((changes: readonly StoreChange[]) => CommitFault | undefined) | undefined;
}

type Spaces = Map<string, MemorySpace>;
type Prepared = readonly [space: string, key: string, text: string | undefined];

export class MemoryStore implements SpaceStore {
  readonly #options: MemoryStoreOptions;
  readonly #name: string;
  readonly #views = new Set<MemoryView>();
  #spaces: Spaces = new Map();
  #closed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.#options = options;
    this.#name = options.name ?? 'memory';
  }

  get(space: string, key: string): Json | undefined {
    return this.#view().get(space, key);
  }

  commit(changes: readonly StoreChange[], moves: readonly SpaceMove[] = []): void {
    this.#view();
    const prepared = changes.map(({ space, key, value }): Prepared => {
      const text = value === undefined ? undefined : valueText(this.#name, value);
      return [checkSpace(this.#name, space), checkKey(this.#name, key), text];
    });
    for (const { from, to } of moves) [from, to].forEach((space) => void checkSpace(this.#name, space));
    const fault = this.#options.fault?.(changes);
    if (fault === 'full') throw replicationErrors.create('STATE_STORE_FULL', { store: this.#name });
    if (fault === 'failed')
      throw replicationErrors.create('STATE_STORE_FAILED', { store: this.#name, problem: 'a fault was planted' });
    if (fault !== 'crash-before') this.#carryOut(prepared, moves);
    if (fault !== undefined) {
      this.close();
      throw storeClosed(this.#name);
    }
  }

  version(space: string, key: string): number {
    this.#view();
    return this.#spaces.get(checkSpace(this.#name, space))?.writes(checkKey(this.#name, key)) ?? 0;
  }

  scan(space: string, options?: ScanOptions): readonly (readonly [key: string, value: Json])[] {
    return this.#view().scan(space, options);
  }

  count(space: string): number {
    return this.#view().count(space);
  }

  snapshot(): AtomicStoreView {
    this.#view();
    const spaces: Spaces = new Map([...this.#spaces].map(([name, space]) => [name, space.share()]));
    const view = new MemoryView(this.#name, spaces, () => this.#views.delete(view));
    this.#views.add(view);
    return view;
  }

  /** Closes this store, as the death of its process would, and gives what the next process finds. */
  crash(options: Pick<MemoryStoreOptions, 'fault'> = {}): MemoryStore {
    this.close();
    const next = new MemoryStore({ name: this.#name, ...options });
    next.#spaces = new Map([...this.#spaces].map(([name, space]) => [name, space.share()]));
    return next;
  }

  close(): void {
    this.#closed = true;
    for (const view of this.#views) view.close();
  }

  #view(): MemoryView {
    if (this.#closed) throw storeClosed(this.#name);
    return new MemoryView(this.#name, this.#spaces, () => {});
  }

  #carryOut(prepared: readonly Prepared[], moves: readonly SpaceMove[]): void {
    for (const { from, to } of moves) {
      const moved = this.#spaces.get(from);
      this.#spaces.delete(from);
      if (moved === undefined) this.#spaces.delete(to);
      else this.#spaces.set(to, moved);
    }
    for (const [space, key, text] of prepared) {
      if (text === undefined) this.#spaces.get(space)?.delete(key);
      else this.#space(space).put(key, text);
    }
  }

  #space(name: string): MemorySpace {
    let space = this.#spaces.get(name);
    if (space === undefined) {
      space = new MemorySpace();
      this.#spaces.set(name, space);
    }
    return space;
  }
}

class MemoryView implements AtomicStoreView {
  readonly #name: string;
  readonly #onClose: () => void;
  #spaces: Spaces | undefined;

  constructor(name: string, spaces: Spaces, onClose: () => void) {
    this.#name = name;
    this.#spaces = spaces;
    this.#onClose = onClose;
  }

  get(space: string, key: string): Json | undefined {
    const text = this.#space(space)?.text(checkKey(this.#name, key));
    return text === undefined ? undefined : JSON.parse(text);
  }

  scan(space: string, options: ScanOptions = {}): readonly (readonly [key: string, value: Json])[] {
    const { after, prefix = '', limit = SCAN_LIMIT } = options;
    assert(Number.isSafeInteger(limit) && limit >= 0, 'a limit is a whole number from 0');
    return (this.#space(space)?.range(after, prefix, limit) ?? []).map(([key, text]) => [key, JSON.parse(text)]);
  }

  count(space: string): number {
    return this.#space(space)?.size ?? 0;
  }

  close(): void {
    this.#spaces = undefined;
    this.#onClose();
  }

  #space(name: string): MemorySpace | undefined {
    if (this.#spaces === undefined) throw storeClosed(this.#name);
    return this.#spaces.get(checkSpace(this.#name, name));
  }
}
