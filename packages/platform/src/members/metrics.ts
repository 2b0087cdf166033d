/** Metrics of membership. */
import type { Counter, Gauge, Metrics } from '@canopy/core';

export interface MemberMetrics {
  readonly members: Gauge;
  readonly refreshFailures: Counter;
}

export function memberMetrics(metrics: Metrics): MemberMetrics {
  return {
    members: metrics.gauge({
      name: 'gc_members',
      help: 'Members of the platform as this node sees them, by health (alive, suspect, gone).',
      labels: ['health'],
    }),
    refreshFailures: metrics.counter({
      name: 'gc_member_refresh_failures_total',
      help: 'Refreshes of the own membership record that were not acknowledged in time.',
    }),
  };
}
