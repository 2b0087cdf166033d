/** Metrics of the proxy. */
import type { Counter, Gauge, Histogram, Metrics } from '@canopy/core';

/** Every value of the label `outcome`. */
export type ProxyOutcome =
  | 'ok'
  | 'queue_timeout'
  | 'queue_full'
  | 'too_large'
  | 'unknown'
  | 'not_replicated'
  | 'unreachable'
  | 'timeout'
  | 'refused'
  | 'client_gone'
  | 'cut';

export interface ProxyMetrics {
  readonly requests: Counter;
  readonly retries: Counter;
  readonly queue: Gauge;
  readonly hold: Histogram;
  readonly upgrades: Counter;
}

export function proxyMetrics(metrics: Metrics): ProxyMetrics {
  return {
    requests: metrics.counter({
      name: 'gc_proxy_requests_total',
      help: 'Requests that the proxy ended, by what became of them. "refused" are those sent back to another proxy.',
      labels: ['app', 'outcome'],
    }),
    retries: metrics.counter({
      name: 'gc_proxy_retries_total',
      help: 'Attempts to forward a request beyond its first.',
      labels: ['app'],
    }),
    queue: metrics.gauge({
      name: 'gc_proxy_queue_length',
      help: 'Requests that wait for an active instance at this moment.',
      labels: ['app'],
    }),
    hold: metrics.histogram({
      name: 'gc_proxy_hold_seconds',
      help: 'How long responses to mutating requests were kept back for their confirmation.',
      labels: ['app'],
      buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    }),
    upgrades: metrics.counter({
      name: 'gc_proxy_upgrades_total',
      help: 'Connections (WebSockets and the like) that were passed through.',
      labels: ['app'],
    }),
  };
}
