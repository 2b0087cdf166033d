/** How far a reader is on its way to the end of what it reads, and how fast. Unknown is undefined, never 0. */
import type { Clock } from '@canopy/core';

export interface SubscriberProgress {
  readonly topic: string;
  /** The next offset to read. */
  readonly position: number;
  /** The greatest offset of the source when it was asked; undefined when it did not say. */
  readonly latest: number | undefined;
  /** Offsets from the position to the latest, both included: at least as many as events are left. Undefined while the latest is. */
  readonly lag: number | undefined;
  /** Of the way from where this life began to the latest, 0 to 100. */
  readonly percent: number | undefined;
  /** Events handled per second of late. Undefined before the first. */
  readonly ratePerSecond: number | undefined;
  /** By the present rate; undefined without one. 0 when caught up. */
  readonly timeLeftMs: number | undefined;
  readonly caughtUp: boolean;
  /** Events that failed and wait for another attempt. */
  readonly unsettled: number;
  readonly paused: boolean;
}

/** The rate is over this long at most. */
const SPAN_MS = 10_000;
const SAMPLE_MS = 250;

/** Events per second over the last ten seconds. */
export class Rate {
  readonly #clock: Clock;
  #samples: { readonly at: number; readonly count: number }[] = [];
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(events: number): void {
    const now = this.#clock.monotonic();
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.at >= SAMPLE_MS) this.#samples.push({ at: now, count: this.#count });
    this.#count += events;
    while (this.#samples.length > 1 && now - (this.#samples[0]?.at ?? now) > SPAN_MS) this.#samples.shift();
  }

  perSecond(): number | undefined {
    const now = this.#clock.monotonic();
    const from = this.#samples.find(({ at }) => now - at <= SPAN_MS);
    if (this.#samples.length === 0) return undefined;
    if (from === undefined) return 0;
    return now > from.at ? ((this.#count - from.count) * 1000) / (now - from.at) : undefined;
  }
}

/** Pure. */
export function progressOf(facts: {
  readonly topic: string;
  readonly start: number;
  readonly position: number;
  readonly latest: number | undefined;
  readonly atEnd: boolean;
  readonly unsettled: number;
  readonly paused: boolean;
  readonly ratePerSecond: number | undefined;
}): SubscriberProgress {
  const { topic, start, position, latest, unsettled, paused, ratePerSecond } = facts;
  const lag = latest === undefined ? undefined : Math.max(0, latest + 1 - position);
  const caughtUp = unsettled === 0 && (lag === undefined ? facts.atEnd : lag === 0);
  const way = latest === undefined ? undefined : latest + 1 - start;
  const percent =
    way === undefined ? undefined : way <= 0 || lag === 0 ? 100 : Math.max(0, ((position - start) / way) * 100);
  const timeLeftMs = caughtUp ? 0 : ratePerSecond && lag !== undefined ? (lag * 1000) / ratePerSecond : undefined;
  return { topic, position, latest, lag, percent, ratePerSecond, timeLeftMs, caughtUp, unsettled, paused };
}
