/**
 * A clock that moves only when told to. `advance` fires timers in order of their time, settling promises between them,
 * so hours pass in milliseconds and every run is the same.
 */
import type { Clock, Timer } from '../time/clock.ts';
import { sleepWith } from '../time/sleep.ts';

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class VirtualClock implements Clock {
  #now: number;
  #wallOffset: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  constructor(options: { monotonic?: number; wall?: number } = {}) {
    this.#now = options.monotonic ?? 1000;
    this.#wallOffset = (options.wall ?? 1_700_000_000_000) - this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now + this.#wallOffset;
  }

  /** A wall clock step, as NTP or an operator would make. Monotonic time is not touched. */
  stepWall(ms: number): void {
    this.#wallOffset += ms;
  }

  timer(ms: number, run: () => void): Timer {
    const entry: Pending = { at: this.#now + Math.max(0, ms), order: this.#order++, run };
    this.#pending.add(entry);
    return { cancel: () => void this.#pending.delete(entry) };
  }

  sleep(ms: number, options?: { signal?: AbortSignal | undefined }): Promise<void> {
    return sleepWith(this, ms, options?.signal);
  }

  /** Lets `ms` pass. Resolves when every timer due by then has fired and the promises it settled have run. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#earliest();
      if (next === undefined || next.at > end) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settle();
    }
    this.#now = end;
    await settle();
  }

  #earliest(): Pending | undefined {
    let best: Pending | undefined;
    for (const entry of this.#pending) {
      if (best === undefined || entry.at < best.at || (entry.at === best.at && entry.order < best.order)) best = entry;
    }
    return best;
  }
}

/** Runs every promise job that is ready, and those that they make ready. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
