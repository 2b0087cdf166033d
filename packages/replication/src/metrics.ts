/** The metrics of replication. Label: `node`, a node or a master, which is bounded by configuration. */
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

/** Each replica counts the same record once, unless it starts behind it from a snapshot. Somebody else writes to the log. */
export const RECORDS_SKIPPED: MetricSpec = {
  name: 'replication_records_skipped_total',
  help: 'Writes in the log that no store could hold, passed over',
  labels: ['node'],
};

/** Writes and deletes of this master. */
export const MASTER_WRITES: MetricSpec = {
  name: 'replication_master_writes_total',
  help: 'Writes and deletes that this master took and stored',
  labels: ['node'],
};

export const MASTER_EVENTS: MetricSpec = {
  name: 'replication_master_events_applied_total',
  help: "Other masters' events that took effect on this one",
  labels: ['node'],
};

/** Every master counts the same conflict: don't add them up. Divided by the events applied it is the conflict rate. */
export const MASTER_CONFLICTS: MetricSpec = {
  name: 'replication_master_conflicts_total',
  help: 'Conflicts that this master has detected, settled ones included',
  labels: ['node'],
};

export const MASTER_PENDING: MetricSpec = {
  name: 'replication_master_conflicts_pending',
  help: 'Conflicts that wait for a decision',
  labels: ['node'],
};

/** Some for a moment is ordinary; ones that stay wait for an event that does not come, or for their time. */
export const MASTER_WAITING: MetricSpec = {
  name: 'replication_master_waiting_events',
  help: 'Events that came before what they depend on, or lie in the future',
  labels: ['node'],
};

/** As of the last write, event or report. */
export const MASTER_UNSENT: MetricSpec = {
  name: 'replication_master_unsent_events',
  help: 'Own events that are not in the log, or not sent, yet',
  labels: ['node'],
};

/** Held until their time is within the bound; they are not lost. */
export const MASTER_REJECTED: MetricSpec = {
  name: 'replication_master_events_rejected_total',
  help: 'Events that lay too far in the future when they came',
  labels: ['node'],
};

/** Only without a log. What made room must come again. */
export const MASTER_EVICTED: MetricSpec = {
  name: 'replication_master_events_evicted_total',
  help: 'Events that waited and had to make room',
  labels: ['node'],
};

/** `outcome`: done, failed. */
export const REBUILDS: MetricSpec = {
  name: 'replication_rebuilds_total',
  help: 'States that were thrown away and made anew, or should have been',
  labels: ['node', 'outcome'],
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
