/** A logger and a metrics registry that remember, for tests that assert on what an operator would see. */
import { createLogger, type LogFields, type Logger, type LogLevel } from '../observe/log.ts';
import type { Labels, MetricSpec, Metrics } from '../observe/metrics.ts';

export interface LogLine {
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: LogFields;
}

export function memoryLogger(): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  return { lines, log: createLogger((level, event, fields) => lines.push({ level, event, fields })) };
}

export function memoryMetrics(): {
  readonly metrics: Metrics;
  value(name: string, labels?: Labels): number | undefined;
} {
  const series = new Map<string, number>();
  const keyOf = (name: string, labels: Labels = {}): string =>
    name + JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  const bump = (spec: MetricSpec, by: number, labels?: Labels): void => {
    const key = keyOf(spec.name, labels);
    series.set(key, (series.get(key) ?? 0) + by);
  };
  return {
    value: (name, labels) => series.get(keyOf(name, labels)),
    metrics: {
      counter: (spec) => ({ add: (value = 1, labels) => bump(spec, value, labels) }),
      gauge: (spec) => ({
        set: (value, labels) => void series.set(keyOf(spec.name, labels), value),
        remove: (labels) => void series.delete(keyOf(spec.name, labels)),
      }),
      /** A histogram's value here is the number of observations. */
      histogram: (spec) => ({ observe: (_value, labels) => bump(spec, 1, labels) }),
    },
  };
}
