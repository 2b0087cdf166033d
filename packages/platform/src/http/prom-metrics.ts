/** Core's metrics port on a prom-client registry of its own, plus what a process should say of itself. */
import type { Counter, Gauge, Histogram, HistogramSpec, Labels, MetricSpec, Metrics } from '@canopy/core';
import { Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram, Registry } from 'prom-client';

export class PromMetrics implements Metrics {
  readonly #registry = new Registry();

  constructor() {
    this.#observed('process_resident_memory_bytes', 'Resident memory of this process.', () =>
      process.memoryUsage.rss(),
    );
    this.#observed('process_cpu_seconds_total', 'Processor time that this process has used.', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
    this.#observed('process_uptime_seconds', 'Age of this process.', () => process.uptime());
  }

  /** Media type of `render`'s text. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Everything in Prometheus' text form. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }

  counter(spec: MetricSpec): Counter {
    const metric = this.#once(spec.name, () => new PromCounter(this.#config(spec)));
    if (spec.labels === undefined) metric.inc(0);
    return { add: (value = 1, labels: Labels = {}) => metric.inc({ ...labels }, value) };
  }

  gauge(spec: MetricSpec): Gauge {
    const metric = this.#once(spec.name, () => new PromGauge(this.#config(spec)));
    return {
      set: (value, labels: Labels = {}) => metric.set({ ...labels }, value),
      remove: (labels: Labels = {}) => metric.remove({ ...labels }),
    };
  }

  histogram(spec: HistogramSpec): Histogram {
    const metric = this.#once(
      spec.name,
      () => new PromHistogram({ ...this.#config(spec), buckets: [...spec.buckets] }),
    );
    return { observe: (value, labels: Labels = {}) => metric.observe({ ...labels }, value) };
  }

  #config(spec: MetricSpec): { name: string; help: string; labelNames: string[]; registers: Registry[] } {
    return { name: spec.name, help: spec.help, labelNames: [...(spec.labels ?? [])], registers: [this.#registry] };
  }

  /** Declaring a name again gives the metric that is there. */
  #once<M>(name: string, make: () => M): M {
    return (this.#registry.getSingleMetric(name) as M | undefined) ?? make();
  }

  #observed(name: string, help: string, read: () => number): void {
    new PromGauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }
}
