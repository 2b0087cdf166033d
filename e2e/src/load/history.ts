/**
 * What a load saw: every request with its outcome, in the order in which they ended. An outcome is what the client may
 * conclude: acknowledged (it happened), refused (it did not), unknown (it may have happened, or may yet). The history
 * forgets nothing; when it is full it says so, and whoever fills it has to stop.
 */
export type Outcome = 'acknowledged' | 'refused' | 'unknown';

export interface RequestRecord {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
  /** The base URL it was sent to. */
  readonly url: string;
  /** Monotonic milliseconds (CLOCK_MONOTONIC). */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: Outcome;
  /** HTTP status, or undefined where there was no answer. */
  readonly status: number | undefined;
  /** Why it is not acknowledged. */
  readonly reason: string | undefined;
}

export interface Gap {
  readonly ms: number;
  /** The acknowledgement before the gap (or the start of the load), monotonic ms. */
  readonly from: number;
  /** The acknowledgement after it, or the present where there is none yet. */
  readonly to: number;
  /** No acknowledgement has ended it yet. */
  readonly open: boolean;
}

export interface LatencyStats {
  readonly count: number;
  /** NaN when nothing was acknowledged. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export class History {
  readonly #records: RequestRecord[] = [];
  readonly #capacity: number;
  /** Ends of acknowledged requests; ascending, as records are added when they end. */
  readonly #acknowledgedAt: number[] = [];
  readonly #beganAt: number;

  constructor(capacity: number, beganAt: number) {
    this.#capacity = capacity;
    this.#beganAt = beganAt;
  }

  get records(): readonly RequestRecord[] {
    return this.#records;
  }

  get full(): boolean {
    return this.#records.length >= this.#capacity;
  }

  add(record: RequestRecord): void {
    this.#records.push(record);
    if (record.outcome === 'acknowledged') this.#acknowledgedAt.push(record.endedAt);
  }

  /** One record per transfer that was acknowledged: the first acknowledgement. */
  acknowledged(): RequestRecord[] {
    const first = new Map<string, RequestRecord>();
    for (const record of this.#records)
      if (record.outcome === 'acknowledged' && !first.has(record.id)) first.set(record.id, record);
    return [...first.values()];
  }

  /** Acknowledgements since `sinceMs` (monotonic). */
  acknowledgedSince(sinceMs: number): number {
    return this.#acknowledgedAt.length - firstAtOrAfter(this.#acknowledgedAt, sinceMs);
  }

  /**
   * The longest time without an acknowledged write that touches the window from `sinceMs` to `untilMs` (default: up to
   * `nowMs`). The time before the window counts from the last acknowledgement in it, so a fault that strikes between
   * two writes is not flattered.
   */
  gap(sinceMs: number, nowMs: number, untilMs: number = nowMs): Gap {
    const times = this.#acknowledgedAt;
    let index = firstAtOrAfter(times, sinceMs);
    let from = times[index - 1] ?? this.#beganAt;
    let longest: Gap = { ms: 0, from: sinceMs, to: sinceMs, open: false };
    for (; from < untilMs; index++) {
      const end = times[index];
      const to = end ?? nowMs;
      if (to - from > longest.ms) longest = { ms: to - from, from, to, open: end === undefined };
      if (end === undefined) break;
      from = end;
    }
    return longest;
  }

  /** Time from sending to acknowledgement, of the requests that were acknowledged at or after `sinceMs`. */
  latency(sinceMs = 0): LatencyStats {
    const times = this.#records
      .filter((record) => record.outcome === 'acknowledged' && record.endedAt >= sinceMs)
      .map((record) => record.endedAt - record.startedAt)
      .sort((a, b) => a - b);
    return {
      count: times.length,
      p50Ms: quantile(times, 0.5),
      p99Ms: quantile(times, 0.99),
      maxMs: times.at(-1) ?? Number.NaN,
    };
  }
}

function firstAtOrAfter(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function quantile(ascending: readonly number[], part: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * part))] ?? Number.NaN;
}
