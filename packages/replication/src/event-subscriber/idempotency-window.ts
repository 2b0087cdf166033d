/**
 * The idempotency keys that were handled of late. Bounded by age and by count; a key counts as handled only after its event was. Ages are
 * monotonic; the wall time beside each is for people and for the store.
 */
import type { Clock } from '@canopy/core';

interface Seen {
  readonly wall: number;
  readonly at: number;
}

export class IdempotencyWindow {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #max: number;
  /** In the order of their times: a key that comes again moves to the end. */
  readonly #seen = new Map<string, Seen>();
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

  /** The keys that `add` would put out. @internal */
  displacedBy(key: string): readonly string[] {
    const displaced: string[] = [];
    let excess = this.#seen.size + (this.#seen.has(key) ? 0 : 1) - this.#max;
    for (const [oldest, seen] of this.#seen) {
      if (excess <= 0 && !this.#isOld(seen)) break;
      if (oldest !== key) displaced.push(oldest);
      excess -= 1;
    }
    return displaced;
  }

  /** Remembers a key; what is too old or too much goes. */
  add(key: string): void {
    for (const gone of this.displacedBy(key)) {
      if (this.has(gone)) this.#evicted += 1;
      this.#seen.delete(gone);
    }
    this.#seen.delete(key);
    this.#seen.set(key, { wall: this.#clock.wall(), at: this.#clock.monotonic() });
  }

  /** Takes over keys of an earlier life, with their wall times. */
  load(keys: readonly (readonly [key: string, wall: number])[]): void {
    const [wallNow, now] = [this.#clock.wall(), this.#clock.monotonic()];
    for (const [key, wall] of [...keys].sort(([, a], [, b]) => a - b))
      if (!this.#seen.has(key)) this.#seen.set(key, { wall, at: now - Math.max(0, wallNow - wall) });
  }

  /** Forgets the keys that are older than the window; returns them. */
  cleanup(): readonly string[] {
    const old = [...this.#seen].filter(([, seen]) => this.#isOld(seen)).map(([key]) => key);
    for (const key of old) this.#seen.delete(key);
    return old;
  }

  #isOld(seen: Seen): boolean {
    return this.#clock.monotonic() - seen.at > this.#windowMs;
  }
}
