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

/** `outcome`: handled, duplicate, failed (an attempt), dead_letter, skipped. `topic` is bounded by the program's subscriptions. */
export const SUBSCRIBER_EVENTS: MetricSpec = {
  name: 'replication_subscriber_events_total',
  help: 'Events of a subscriber by what became of them',
  labels: ['namespace', 'topic', 'outcome'],
};

/** Holds the checkpoint while it is not 0. */
export const SUBSCRIBER_UNSETTLED: MetricSpec = {
  name: 'replication_subscriber_unsettled_events',
  help: 'Events that failed and wait for another attempt',
  labels: ['namespace', 'topic'],
};

/** As of the last call of progress(). */
export const SUBSCRIBER_LAG: MetricSpec = {
  name: 'replication_subscriber_lag_events',
  help: 'Offsets between what a subscriber handled and the end of its topic',
  labels: ['namespace', 'topic'],
};

/** Not lost: they are read from the source instead. */
export const SUBSCRIBER_PUSH_DROPPED: MetricSpec = {
  name: 'replication_subscriber_pushes_dropped_total',
  help: 'Pushed events for which the buffer had no room',
  labels: ['namespace', 'topic'],
};
