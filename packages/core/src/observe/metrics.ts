/**
 * The metrics port, shaped after Prometheus so that an adapter is a few lines. Declaring the same name twice with the
 * same kind gives the same metric. Label values must come from a bounded set.
 */
export type Labels = Readonly<Record<string, string>>;

export interface MetricSpec {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}
export interface HistogramSpec extends MetricSpec {
  /** Upper bounds in the metric's own unit, ascending. */
  readonly buckets: readonly number[];
}

export interface Counter {
  add(value?: number, labels?: Labels): void;
}
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Forgets the series, so that a gone thing does not show its last value for ever. */
  remove(labels?: Labels): void;
}
export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export interface Metrics {
  counter(spec: MetricSpec): Counter;
  gauge(spec: MetricSpec): Gauge;
  histogram(spec: HistogramSpec): Histogram;
}

export const noMetrics: Metrics = {
  counter: () => ({ add() {} }),
  gauge: () => ({ set() {}, remove() {} }),
  histogram: () => ({ observe() {} }),
};
