/**
 * The measuring frame. Each figure is one JSON line {suite, metric, unit, value, baseline, ratio}; the baseline is measured in
 * the same run, next to it, because machines are shared and noisy: the ratio is what may be compared between days.
 */
export interface Figure {
  readonly suite: string;
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
  /** The same thing done the plainest way, or undefined when there is nothing to compare with. */
  readonly baseline: number | undefined;
  /** value / baseline. */
  readonly ratio: number | undefined;
}

export interface Report {
  /** Prints one figure. */
  figure(metric: string, unit: string, value: number, baseline?: number): void;
  /** A remark for people, on stderr. */
  note(text: string): void;
}

export interface BenchOptions {
  /** Shortens everything to a smoke run. */
  readonly quick: boolean;
}

export type Suite = (report: Report, options: BenchOptions) => Promise<void>;

export function createReport(suite: string, write: (line: string) => void, note: (text: string) => void): Report {
  return {
    figure: (metric, unit, value, baseline) => {
      const figure: Figure = {
        suite,
        metric,
        unit,
        value: round(value),
        baseline: baseline === undefined ? undefined : round(baseline),
        ratio: baseline === undefined || baseline === 0 ? undefined : round(value / baseline),
      };
      write(JSON.stringify(figure));
    },
    note,
  };
}

/** Four significant digits: more would pretend. */
export function round(value: number): number {
  return Number(value.toPrecision(4));
}
