/**
 * When a standby that does not get on must say so, and why: a function of what is known, asked at intervals. It says so
 * again at every bound for as long as it lasts.
 */
export interface StallFacts {
  /** Monotonic ms. */
  readonly now: number;
  /** The log is known to hold more than the file. */
  readonly isBehind: boolean;
  /** When something was applied last, or when the first thing arrived after that. Monotonic ms. */
  readonly movedAt: number;
  /** What the work is at, and since when (monotonic ms). */
  readonly work: { readonly what: string; readonly since: number } | undefined;
  /** What went wrong last. */
  readonly problem: string | undefined;
}

export interface Stall {
  readonly sinceMs: number;
  readonly reason: string;
  /** It has to be told now. */
  readonly isNews: boolean;
}

export class StallWatch {
  readonly #afterMs: number;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** Undefined while all is well. */
  look(facts: StallFacts): Stall | undefined {
    const { now } = facts;
    const sinceMs = facts.isBehind ? now - facts.movedAt : 0;
    if (sinceMs < this.#afterMs) {
      this.#toldAt = Number.NEGATIVE_INFINITY;
      return undefined;
    }
    const isNews = now - this.#toldAt >= this.#afterMs;
    if (isNews) this.#toldAt = now;
    return { sinceMs, reason: stuck(facts, sinceMs), isNews };
  }
}

function stuck({ work, problem, now }: StallFacts, ms: number): string {
  const head = `nothing was applied for ${Math.round(ms)} ms though the log has moved on`;
  if (problem !== undefined) return `${head}: ${problem}`;
  return work === undefined ? head : `${head}: ${work.what} for ${Math.round(now - work.since)} ms`;
}
