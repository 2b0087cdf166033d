/**
 * How old what a replica shows may be. Pure. A question for the log's end, asked at some moment, makes the replica as fresh as
 * that moment once it has applied that end; nothing else does. Times are monotonic.
 */
interface Question {
  readonly askedAt: number;
  readonly end: number;
}

/** Older open questions are enough to be told fresh; more would only be more exact. */
const OPEN_MAX = 16;

export class Freshness {
  readonly #open: Question[] = [];
  #freshAt: number;
  #end = 0;

  /** Counts as fresh when it begins: it is given the time to find out. */
  constructor(now: number) {
    this.#freshAt = now;
  }

  /** The last known end of the log. */
  get end(): number {
    return this.#end;
  }

  answered(askedAt: number, end: number, applied: number): void {
    this.#end = Math.max(this.#end, end);
    if (this.#open.length >= OPEN_MAX) this.#open.pop();
    this.#open.push({ askedAt, end });
    this.applied(applied);
  }

  applied(sequence: number): void {
    this.#end = Math.max(this.#end, sequence);
    while (this.#open[0] !== undefined && this.#open[0].end <= sequence)
      this.#freshAt = Math.max(this.#freshAt, (this.#open.shift() as Question).askedAt);
  }

  /** Another state, that of the log's `end` as it was at `askedAt`; the log may be another one. */
  restart(askedAt: number, end: number): void {
    this.#open.length = 0;
    this.#freshAt = askedAt;
    this.#end = end;
  }

  ageMs(now: number): number {
    return now - this.#freshAt;
  }
}
