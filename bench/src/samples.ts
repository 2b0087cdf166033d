/** A set of measurements and its distribution. */
export class Samples {
  readonly #values: number[] = [];
  #sorted = true;

  add(value: number): void {
    this.#values.push(value);
    this.#sorted = false;
  }

  get count(): number {
    return this.#values.length;
  }

  /** Nearest-rank percentile, 0 < p <= 100. Throws when there are no samples: a figure from nothing is a lie. */
  percentile(p: number): number {
    if (this.#values.length === 0) throw new Error('no samples');
    if (!this.#sorted) this.#values.sort((a, b) => a - b);
    this.#sorted = true;
    const rank = Math.ceil((p / 100) * this.#values.length);
    return this.#values[Math.max(0, rank - 1)] as number;
  }

  get p50(): number {
    return this.percentile(50);
  }

  get p99(): number {
    return this.percentile(99);
  }
}
