/** Metrics of apps. */
import type { Counter, Gauge, Histogram, Metrics } from '@canopy/core';

export interface AppMetrics {
  readonly active: Gauge;
  readonly serving: Gauge;
  readonly epoch: Gauge;
  readonly transitions: Counter;
  readonly failover: Histogram;
  readonly stepFailures: Counter;
  readonly databaseLag: Gauge;
}

const FAILOVER_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120];

export function appMetrics(metrics: Metrics): AppMetrics {
  return {
    active: metrics.gauge({
      name: 'gc_app_active',
      help: '1 while this node holds the lease of the app and has become active, else 0.',
      labels: ['app'],
    }),
    serving: metrics.gauge({
      name: 'gc_app_serving',
      help: '1 while requests to the app are answered by this node, else 0.',
      labels: ['app'],
    }),
    epoch: metrics.gauge({
      name: 'gc_app_epoch',
      help: 'Epoch of the last term that this node had of the app.',
      labels: ['app'],
    }),
    transitions: metrics.counter({
      name: 'gc_app_transitions_total',
      help: 'Entries of the timeline of the app on this node, by event.',
      labels: ['app', 'event'],
    }),
    failover: metrics.histogram({
      name: 'gc_failover_duration_seconds',
      help: 'From the loss of the leader, as the new one saw it, until it served.',
      labels: ['app'],
      buckets: FAILOVER_BUCKETS,
    }),
    stepFailures: metrics.counter({
      name: 'gc_app_failures_total',
      help: 'Terms that ended because something failed on this node.',
      labels: ['app'],
    }),
    databaseLag: metrics.gauge({
      name: 'gc_database_lag_seconds',
      help: 'Age of the oldest commit that the database of this node does not have; no series while unknown.',
      labels: ['app'],
    }),
  };
}
