/**
 * A map whose keys are registers of their own: the last write or deletion of each key wins. A deletion stays as a tombstone
 * until `forgetDeleted`, or an older write that arrives late would bring the key back.
 */
import { type Clock, systemClock } from '@canopy/core';
import { Crdt, checkOwner, inputInvalid, requireOwner } from './crdt.ts';
import { later, readStamp, type Written, type WrittenState, write, writtenToJSON } from './last-write.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'LWWMap';
const READER = new StateReader(KIND);

/** A deleted key in JSON. */
export interface DeletedState {
  readonly deleted: true;
  readonly timestamp: number;
  readonly counter?: number;
  readonly nodeId: string;
}
export type LWWMapState<T> = Record<string, WrittenState<T> | DeletedState>;

export class LWWMap<T = unknown> extends Crdt<LWWMap<T>> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  readonly #clock: Pick<Clock, 'wall'>;
  /** A value of `undefined` is a tombstone. */
  readonly #cells = new Map<string, Written<T | undefined>>();
  #deleted = 0;

  /** `nodeId` signs what is written here; without one it can be read and merged. `clock`: default the system's. */
  constructor(nodeId?: string, clock: Pick<Clock, 'wall'> = systemClock) {
    super();
    this.#node = checkOwner(KIND, nodeId);
    this.#clock = clock;
  }

  /** Give `nodeId` to go on writing. Throws CRDT_STATE_INVALID when `json` is no map. */
  static fromJSON<T = unknown>(json: unknown, nodeId?: string, clock?: Pick<Clock, 'wall'>): LWWMap<T> {
    const map = new LWWMap<T>(nodeId, clock);
    for (const [key, cell] of Object.entries(READER.record(json, 'the state'))) {
      const place = `key ${JSON.stringify(key.slice(0, 100))}`;
      const state = READER.record(cell, place);
      const value = state.deleted === true ? undefined : state.value;
      if (state.deleted !== true && value === undefined) throw READER.invalid(`${place} has no value`);
      map.#put(key, { ...readStamp(READER, state, place), value: value as T | undefined });
    }
    return map;
  }

  /** Returns the delta; `timestamp` (ms) and errors as LWWRegister's `set`. */
  set(key: string, value: T, timestamp?: number): LWWMap<T> {
    if (value === undefined) throw inputInvalid(KIND, 'undefined does not survive JSON; use null, or delete the key');
    return this.#write(key, value, timestamp);
  }

  /** Returns the delta. Also deletes a key that this replica has not seen yet; `timestamp` (ms) as in `set`. */
  delete(key: string, timestamp?: number): LWWMap<T> {
    return this.#write(key, undefined, timestamp);
  }

  get(key: string): T | undefined {
    return this.#cells.get(key)?.value;
  }

  has(key: string): boolean {
    return this.#cells.get(key)?.value !== undefined;
  }

  /** Keys that have a value. */
  size(): number {
    return this.#cells.size - this.#deleted;
  }

  /** Sorted. */
  keys(): string[] {
    return this.entries().map(([key]) => key);
  }

  /** Sorted by key. */
  entries(): [string, T][] {
    return this.#sorted().flatMap(([key, { value }]): [string, T][] => (value === undefined ? [] : [[key, value]]));
  }

  /**
   * Drops tombstones from before `timestamp` (ms) and returns how many. Only safe when every replica has merged them and no
   * write of before can still arrive; else a deleted key may come back.
   */
  forgetDeleted(timestamp: number): number {
    const before = this.#deleted;
    for (const [key, cell] of this.#cells)
      if (cell.value === undefined && cell.timestamp < timestamp) {
        this.#cells.delete(key);
        this.#deleted--;
      }
    return before - this.#deleted;
  }

  copy(): LWWMap<T> {
    const copied = new LWWMap<T>(this.#node, this.#clock);
    copied.join(this);
    return copied;
  }

  /** Sorted by key; deleted keys are in it. */
  toJSON(): LWWMapState<T> {
    return Object.fromEntries(
      this.#sorted().map(([key, cell]) => {
        const { value, ...stamp } = writtenToJSON(cell);
        return [key, value === undefined ? { deleted: true as const, ...stamp } : { value, ...stamp }];
      }),
    );
  }

  protected override join(other: LWWMap<T>): void {
    for (const [key, cell] of other.#cells) {
      const mine = this.#cells.get(key);
      this.#put(key, mine === undefined ? cell : later(mine, cell));
    }
  }

  #write(key: string, value: T | undefined, timestamp: number | undefined): LWWMap<T> {
    const nodeId = requireOwner(KIND, this.#node);
    if (typeof key !== 'string') throw inputInvalid(KIND, 'a key is no text');
    const cell = write(KIND, this.#cells.get(key), { value, nodeId, timestamp }, () => this.#clock.wall());
    if (cell !== undefined) this.#put(key, cell);
    const delta = new LWWMap<T>(undefined, this.#clock);
    delta.#put(key, this.#cells.get(key) as Written<T | undefined>);
    return delta;
  }

  #put(key: string, cell: Written<T | undefined>): void {
    const mine = this.#cells.get(key);
    if (mine !== undefined && mine.value === undefined) this.#deleted--;
    if (cell.value === undefined) this.#deleted++;
    this.#cells.set(key, cell);
  }

  #sorted(): [string, Written<T | undefined>][] {
    return [...this.#cells].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
