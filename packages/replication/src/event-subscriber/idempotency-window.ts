/**
 * The idempotency keys that were handled of late. Bounded by age and by count; a key counts as handled only after its event was. Ages are
 * monotonic; the wall time beside each is for people and for the store.
 */
import type { Clock } from '@canopy/core';

interface Seen {
  readonly key: string;
  readonly wall: number;
  readonly at: number;
}

export class IdempotencyWindow {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #max: number;
  readonly #seen = new Map<string, Seen>();
  /** In the order of their times, from `#head`; those that are no longer in the map are skipped. A map that loses its front is slow to iterate. */
  #order: Seen[] = [];
  #head = 0;
  #evicted = 0;

  constructor(clock: Clock, windowMs: number, max: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#max = max;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Keys that had to go before their time. */
  get evicted(): number {
    return this.#evicted;
  }

  /** A copy: key to the wall time, Unix ms, at which its event was handled. */
  snapshot(): Map<string, number> {
    return new Map([...this.#seen].map(([key, { wall }]) => [key, wall]));
  }

  /** Whether an event with this key was handled within the window. */
  has(key: string): boolean {
    const seen = this.#seen.get(key);
    return seen !== undefined && !this.#isOld(seen);
  }

  /** The keys that adding these would put out. @internal */
  displacedBy(keys: readonly string[]): readonly string[] {
    const coming = new Set(keys);
    const added = [...coming].filter((key) => !this.#seen.has(key)).length;
    let excess = this.#seen.size + added - this.#max;
    const displaced: string[] = [];
    for (let at = this.#head; at < this.#order.length; at++) {
      const seen = this.#order[at] as Seen;
      if (this.#seen.get(seen.key) !== seen) continue;
      if (excess <= 0 && !this.#isOld(seen)) break;
      if (!coming.has(seen.key)) displaced.push(seen.key);
      excess -= 1;
    }
    return displaced;
  }

  /** Remembers a key; what is too old or too much goes. */
  add(key: string): void {
    for (const gone of this.displacedBy([key])) {
      if (this.has(gone)) this.#evicted += 1;
      this.#seen.delete(gone);
    }
    // At the end also of the map: its copies are in the order of time.
    this.#seen.delete(key);
    this.#put({ key, wall: this.#clock.wall(), at: this.#clock.monotonic() });
    this.#trim();
  }

  /** Takes over keys of an earlier life, with their wall times. */
  load(keys: readonly (readonly [key: string, wall: number])[]): void {
    const [wallNow, now] = [this.#clock.wall(), this.#clock.monotonic()];
    for (const [key, wall] of [...keys].sort(([, a], [, b]) => a - b))
      if (!this.#seen.has(key)) this.#put({ key, wall, at: now - Math.max(0, wallNow - wall) });
  }

  /** Forgets the keys that are older than the window; returns them. */
  cleanup(): readonly string[] {
    const old = [...this.#seen].filter(([, seen]) => this.#isOld(seen)).map(([key]) => key);
    for (const key of old) this.#seen.delete(key);
    return old;
  }

  #put(seen: Seen): void {
    this.#seen.set(seen.key, seen);
    this.#order.push(seen);
  }

  /** Lets go of the front of the order that is no longer in the map. */
  #trim(): void {
    for (let seen = this.#order[this.#head]; seen !== undefined; seen = this.#order[this.#head]) {
      if (this.#seen.get(seen.key) === seen) break;
      this.#head += 1;
    }
    const stale = this.#order.length > 2 * this.#seen.size + 1000;
    if (!stale && this.#head < this.#order.length / 2) return;
    this.#order = this.#order.slice(this.#head).filter((seen) => this.#seen.get(seen.key) === seen);
    this.#head = 0;
  }

  #isOld(seen: Seen): boolean {
    return this.#clock.monotonic() - seen.at > this.#windowMs;
  }
}
