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

/** Writes of this leader that count. */
export const LEADER_WRITES: MetricSpec = {
  name: 'replication_writes_total',
  help: 'Writes of this node as leader that were acknowledged',
  labels: ['node'],
};

/** Refusals are no errors of the node: a follower that is asked to write counts here too. */
export const LEADER_WRITES_REFUSED: MetricSpec = {
  name: 'replication_writes_refused_total',
  help: 'Writes that were refused or not acknowledged',
  labels: ['node'],
};

export const FOLLOWER_EVENTS: MetricSpec = {
  name: 'replication_events_applied_total',
  help: 'Writes of the leader that this follower has applied',
  labels: ['node'],
};

/** Of what is known: a follower that is cut off shows its last lag. Look at its staleness too. */
export const FOLLOWER_LAG: MetricSpec = {
  name: 'replication_lag_events',
  help: 'Events known to be in the log that this node has not applied',
  labels: ['node'],
};

/** The sum over the nodes of a namespace should be 1. */
export const LEADING: MetricSpec = {
  name: 'replication_leader',
  help: '1 while this node leads, else 0',
  labels: ['node'],
};

export const FOLLOWER_GAPS: MetricSpec = {
  name: 'replication_gaps_total',
  help: 'Gaps: events that are missing, trimmed away or lost',
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
