/** The metrics of replication. Label: `node`, which is bounded by configuration. */
import type { MetricSpec } from '@canopy/core';

/** Each is an event that was not applied: another node's clock runs ahead, or this one's behind. */
export const CLOCK_REJECTIONS: MetricSpec = {
  name: 'replication_clock_rejections_total',
  help: 'Timestamps refused because they lay too far ahead of the wall clock',
  labels: ['node'],
};

/** How far logical time has run ahead of this node's wall clock; 0 when it has not. */
export const CLOCK_AHEAD: MetricSpec = {
  name: 'replication_clock_ahead_ms',
  help: 'Milliseconds by which the hybrid clock is ahead of the wall clock',
  labels: ['node'],
};
