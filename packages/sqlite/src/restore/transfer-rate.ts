/** How fast a transfer goes and how long it will still take: of the last seconds, so that a pause shows. Pure. */

/** Over this long the rate is taken; below the least it is not known yet. */
const WINDOW_MS = 5000;
const LEAST_MS = 500;
/** Marks kept: one per this long. */
const STEP_MS = 100;

export interface TransferRate {
  /** Undefined in the first moments. */
  readonly bytesPerSecond: number | undefined;
  readonly leftMs: number | undefined;
}

export class RateMeter {
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  /** `at` in monotonic ms; `bytes` since the beginning. */
  add(at: number, bytes: number, totalBytes: number): TransferRate {
    const last = this.#marks.at(-1);
    if (last === undefined || at - last.at >= STEP_MS) this.#marks.push({ at, bytes });
    while (this.#marks.length > 2 && at - (this.#marks[1] as { at: number }).at >= WINDOW_MS) this.#marks.shift();
    const first = this.#marks[0] as { at: number; bytes: number };
    const ms = at - first.at;
    if (ms < LEAST_MS) return { bytesPerSecond: undefined, leftMs: undefined };
    const rate = ((bytes - first.bytes) / ms) * 1000;
    const left = Math.max(0, totalBytes - bytes);
    return { bytesPerSecond: rate, leftMs: rate > 0 ? (left / rate) * 1000 : undefined };
  }
}
