/** Bounded waiting: how many requests may wait for an active instance, and for how long each. */
import type { Clock, Gauge } from '@canopy/core';

export class WaitingRoom {
  readonly #limit: number;
  readonly #gauge: Gauge;
  readonly #app: string;
  #count = 0;

  constructor(options: { app: string; limit: number; gauge: Gauge }) {
    this.#app = options.app;
    this.#limit = options.limit;
    this.#gauge = options.gauge;
  }

  get count(): number {
    return this.#count;
  }

  /** Runs `wait` as one who waits; false, at once, when the room is full. */
  async run(wait: () => Promise<void>): Promise<boolean> {
    if (this.#count >= this.#limit) return false;
    this.#set(this.#count + 1);
    try {
      await wait();
    } finally {
      this.#set(this.#count - 1);
    }
    return true;
  }

  #set(count: number): void {
    this.#count = count;
    this.#gauge.set(count, { app: this.#app });
  }
}

/** Resolves after `ms`, or when `event` does, or when the signal aborts; never rejects. */
export async function pauseUntil(
  clock: Clock,
  ms: number,
  event: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const timer = clock.timer(ms, () => over.abort());
  try {
    await event(either);
  } finally {
    timer.cancel();
    over.abort();
  }
}
