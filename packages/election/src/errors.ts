/** The error codes of this package. */
import { defineErrors } from '@canopy/core';

export const electionErrors = defineErrors({
  ELECTION_NOT_LEADER: {
    message: 'group {group}: {instanceId} cannot {action}, it is not the leader',
    hint: 'Ask the leader to do it; `status()` names it.',
    retryable: true,
  },
  ELECTION_LEADERSHIP_LOST: {
    message: 'group {group}: {instanceId} no longer leads ({reason})',
    hint: 'Work under this term must stop; what it guards refuses its epoch from now on.',
  },
  ELECTION_HANDOFF_TARGET: {
    message: 'group {group}: {instanceId} cannot hand off to "{to}"',
    hint: 'Name another instance of the group, or step down and let the group choose.',
  },
  ELECTION_STOPPED: {
    message: 'group {group}: the election of {instanceId} is not running',
    hint: 'It was stopped, or could not go on; see the log. Make a new one to stand again.',
  },
  ELECTION_NOT_RELEASED: {
    message: 'group {group}: {instanceId} leads no more, but its lease was not released when it was to {action}',
    hint: 'The bucket could not be reached, or a hook failed or took too long (see the log). The lease runs out by itself: another leads after its ttl.',
    retryable: true,
  },
  ELECTION_CONNECTION_CLOSED: {
    message: 'group {group}: the session was closed under the election',
    hint: 'Stop an election before you close the session that it was given; or give it a `connection` of its own.',
  },
  ELECTION_EPOCH_STALE: {
    message: '{resource}: a write of epoch {epoch} is refused, epoch {highest} has been here',
    hint: 'The writer was leader once and is no longer. Stop its work; the present leader goes on.',
  },
  ROLE_EXISTS: {
    message: 'this instance stands for group {group} already',
    hint: 'Each group has one election per instance; remove the role first to give it other options.',
  },
  ROLE_UNGUARDED: {
    message: 'group {group} has fences of its own, but no warden to run them',
    hint: 'Give the RoleManager the option warden, and this role no watchdog of its own.',
  },
  CIRCUIT_OPEN: {
    message: '{name} failed too often in a row and is left alone for {retryInMs} ms',
    hint: 'Look at the failures before this one; calls go through again by themselves.',
    retryable: true,
  },
  ELECTION_BUCKET_TTL: {
    message: 'bucket {bucket} drops entries after {actualMs} ms, but leases of group {group} last {ttlMs} ms',
    hint: "Use the same ttl for all groups of a bucket, or another bucket: a lease must not expire on the server before its holder's own deadline.",
  },
});
