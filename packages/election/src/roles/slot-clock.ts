/**
 * A clock that fires all timers of one millisecond together, in one turn. With many elections whose renewals fall on the
 * same instants that makes one write to the socket out of dozens. Invariant: a timer is never early, and at most a
 * millisecond later than on the clock underneath.
 */
import type { Clock, Timer } from '@canopy/core';

interface Slot {
  readonly runs: Set<() => void>;
  readonly timer: Timer;
}

export class SlotClock implements Clock {
  readonly #clock: Clock;
  readonly #slots = new Map<number, Slot>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wall(): number {
    return this.#clock.wall();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  /** Timers for the background don't share: they may not keep the process alive, others must. */
  timer(ms: number, run: () => void, options?: { background?: boolean }): Timer {
    if (options?.background) return this.#clock.timer(ms, run, options);
    const now = this.#clock.monotonic();
    const at = Math.ceil(now + Math.max(0, ms));
    const slot = this.#slots.get(at) ?? this.#open(at, at - now);
    // One function may be given twice: each call is a timer of its own.
    const own = (): void => run();
    slot.runs.add(own);
    return {
      cancel: () => {
        if (!slot.runs.delete(own) || slot.runs.size > 0 || this.#slots.get(at) !== slot) return;
        slot.timer.cancel();
        this.#slots.delete(at);
      },
    };
  }

  sleep(ms: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = this.timer(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #open(at: number, ms: number): Slot {
    const runs = new Set<() => void>();
    const timer = this.#clock.timer(ms, () => {
      this.#slots.delete(at);
      // Deleting while it runs is a cancel of what has not run yet.
      for (const run of runs) {
        runs.delete(run);
        run();
      }
    });
    const slot = { runs, timer };
    this.#slots.set(at, slot);
    return slot;
  }
}
