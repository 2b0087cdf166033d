/**
 * The facts that a store keeps next to the effects of events: how far each topic is handled, which events beyond that point are, and the idempotency
 * keys. Invariant: an effect and the fact that its event was handled are one commit, so after a crash an event's effect is there exactly when
 * the ledger says that it was handled.
 */
import { createHash } from 'node:crypto';
import type { AtomicStore, StoreChange } from '../ports/atomic-store.ts';
import type { IdempotencyWindow } from './idempotency-window.ts';

/** Persisted: the space and the forms of its keys must not change. */
const SPACE = 'event-subscriber';
/** Longer keys are kept as their digest: a store takes keys up to 1 KiB. */
const KEY_MAX = 400;
const PAGE = 1000;
/** Digits of the greatest safe integer: offsets sort as texts. */
const OFFSET_DIGITS = 16;

/** What is known of a topic at the start: everything before `floor` was handled, and the offsets in `done`. */
export interface TopicFacts {
  readonly floor: number | undefined;
  readonly done: Set<number>;
}

/** That an event was handled. */
export interface Settlement {
  readonly topic: string;
  readonly offset: number;
  /** Everything of the topic before this is handled, with this event. */
  readonly floor: number;
  readonly key: string | undefined;
}

/** Keys that are remembered in the same commit, and where. */
export interface RememberedKeys {
  readonly kind: 'key' | 'delivery';
  readonly window: IdempotencyWindow;
  readonly keys: readonly string[];
}

export class EffectLedger {
  readonly store: AtomicStore;
  readonly #namespace: string;

  constructor(store: AtomicStore, namespace: string) {
    this.store = store;
    this.#namespace = encodeURIComponent(namespace);
  }

  topic(topic: string): TopicFacts {
    const floor = this.store.get(SPACE, this.#floorKey(topic));
    const prefix = this.#donePrefix(topic);
    const done = this.#keys(prefix).map(([key]) => Number(key.slice(prefix.length)));
    return { floor: typeof floor === 'number' ? floor : undefined, done: new Set(done) };
  }

  /** Hands the keys of an earlier life to the window. */
  loadKeys(kind: RememberedKeys['kind'], window: IdempotencyWindow): void {
    const prefix = `${this.#namespace}|${kind}|`;
    window.load(this.#keys(prefix).map(([key, at]) => [key.slice(prefix.length), typeof at === 'number' ? at : 0]));
  }

  /** The form in which a key is remembered. */
  keyOf(idempotencyKey: string): string {
    if (Buffer.byteLength(idempotencyKey) <= KEY_MAX) return idempotencyKey;
    return `sha256:${createHash('sha256').update(idempotencyKey).digest('hex')}`;
  }

  /** Commits effects with the facts. `done` are the offsets that the store has as handled beyond its floor; it is kept up to date. */
  commit(
    effects: readonly StoreChange[],
    settled: readonly Settlement[],
    done: Set<number>,
    remembered: readonly RememberedKeys[],
    wall: number,
  ): void {
    const last = settled.at(-1);
    if (last === undefined) return;
    const { topic, floor } = last;
    const changes: StoreChange[] = [...effects, { space: SPACE, key: this.#floorKey(topic), value: floor }];
    const beyond = settled.map(({ offset }) => offset).filter((offset) => offset >= floor);
    const behind = [...done].filter((offset) => offset < floor);
    for (const offset of beyond) changes.push({ space: SPACE, key: this.#doneKey(topic, offset), value: true });
    for (const offset of behind) changes.push({ space: SPACE, key: this.#doneKey(topic, offset), value: undefined });
    changes.push(...this.#rememberingChanges(remembered, wall));
    this.store.commit(changes);
    for (const offset of beyond) done.add(offset);
    for (const offset of behind) done.delete(offset);
  }

  /** Commits effects with the deliveries and keys of events whose positions somebody else keeps. */
  commitKeys(effects: readonly StoreChange[], remembered: readonly RememberedKeys[], wall: number): void {
    this.store.commit([...effects, ...this.#rememberingChanges(remembered, wall)]);
  }

  /** Everything before the floor is handled, though not by what was committed last: duplicates, gaps, events known to be done. */
  advance(topic: string, floor: number, done: Set<number>): void {
    const behind = [...done].filter((offset) => offset < floor);
    const forget = behind.map((offset) => ({ space: SPACE, key: this.#doneKey(topic, offset), value: undefined }));
    this.store.commit([...forget, { space: SPACE, key: this.#floorKey(topic), value: floor }]);
    for (const offset of behind) done.delete(offset);
  }

  /** Moves a topic to an offset, for a replay or an explicit start: what was done beyond it is handled again. */
  move(topic: string, floor: number, done: Set<number>): void {
    const forget = [...done].map((offset) => ({ space: SPACE, key: this.#doneKey(topic, offset), value: undefined }));
    this.store.commit([...forget, { space: SPACE, key: this.#floorKey(topic), value: floor }]);
    done.clear();
  }

  forgetKeys(keys: readonly string[]): void {
    if (keys.length > 0) this.store.commit(keys.map((key) => this.#keyChange('key', key, undefined)));
  }

  #rememberingChanges(remembered: readonly RememberedKeys[], wall: number): StoreChange[] {
    return remembered.flatMap(({ kind, window, keys }) => [
      ...window.displacedBy(keys).map((gone) => this.#keyChange(kind, gone, undefined)),
      ...keys.map((key) => this.#keyChange(kind, key, wall)),
    ]);
  }

  #keyChange(kind: RememberedKeys['kind'], key: string, value: number | undefined): StoreChange {
    return { space: SPACE, key: `${this.#namespace}|${kind}|${key}`, value };
  }

  #floorKey(topic: string): string {
    return `${this.#namespace}|floor|${encodeURIComponent(topic)}`;
  }

  #donePrefix(topic: string): string {
    return `${this.#namespace}|done|${encodeURIComponent(topic)}|`;
  }

  #doneKey(topic: string, offset: number): string {
    return this.#donePrefix(topic) + String(offset).padStart(OFFSET_DIGITS, '0');
  }

  #keys(prefix: string): (readonly [key: string, value: unknown])[] {
    const found: (readonly [string, unknown])[] = [];
    for (let after: string | undefined; ; after = found.at(-1)?.[0]) {
      const page = this.store.scan(SPACE, { prefix, limit: PAGE, ...(after === undefined ? {} : { after }) });
      found.push(...page);
      if (page.length < PAGE) return found;
    }
  }
}
