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
  /** What is aimed at, as `value <= 5` or `ratio >= 0.6`, and whether this run came to it. */
  readonly target: string | undefined;
  readonly met: boolean | undefined;
}

/** A bound on a figure, or on its ratio to the baseline. */
export interface Target {
  readonly of: 'value' | 'ratio';
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Report {
  /** Prints one figure. A target is told of, and never fails anything: machines differ. */
  figure(metric: string, unit: string, value: number, baseline?: number, target?: Target): void;
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
    figure: (metric, unit, value, baseline, target) => {
      const ratio = baseline === undefined || baseline === 0 ? undefined : value / baseline;
      const judged = target?.of === 'ratio' ? ratio : value;
      const figure: Figure = {
        suite,
        metric,
        unit,
        value: round(value),
        baseline: baseline === undefined ? undefined : round(baseline),
        ratio: ratio === undefined ? undefined : round(ratio),
        target: target && inWords(target),
        met: target && judged !== undefined ? isMet(target, judged) : undefined,
      };
      write(JSON.stringify(figure));
    },
    note,
  };
}

function inWords({ of, atMost, atLeast }: Target): string {
  return atMost === undefined ? `${of} >= ${atLeast}` : `${of} <= ${atMost}`;
}

function isMet({ atMost, atLeast }: Target, judged: number): boolean {
  return (atMost === undefined || judged <= atMost) && (atLeast === undefined || judged >= atLeast);
}

/** Four significant digits: more would pretend. */
export function round(value: number): number {
  return Number(value.toPrecision(4));
}
