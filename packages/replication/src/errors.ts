/** The error codes of this package. */
import { defineErrors } from '@canopy/core';

export const replicationErrors = defineErrors({
  VECTOR_CLOCK_INVALID: {
    message: 'vector clock: {problem}',
    hint: 'A vector clock is a record of node ids (1 to 256 characters) and whole numbers from 0 to 2^53-1. If it came from another node, drop the message: it can not be ordered.',
  },
  HYBRID_TIMESTAMP_INVALID: {
    message: 'hybrid timestamp: {problem}',
    hint: 'Its text is 12 hexadecimal digits of milliseconds, 4 of a counter and the node name, joined by "-".',
  },
  HYBRID_CLOCK_DRIFT: {
    message:
      'the timestamp {timestamp} lies {aheadMs} ms ahead of the wall clock of {nodeId}; {maxDriftMs} ms are allowed',
    hint: 'Compare the clocks of both nodes and have them kept by NTP. The event was not taken over.',
  },
  REPLICATED_VALUE_INVALID: {
    message: 'the value can not be replicated: {problem}',
    hint: 'Use what JSON can carry: text, finite numbers, true, false, null, lists and plain objects of them, at most 500 deep.',
  },
  CRDT_STATE_INVALID: {
    message: '{kind} from JSON: {problem}',
    hint: 'The state was not made by toJSON() of this type, or was damaged on the way. Drop it; the sender can send its state again.',
  },
  CRDT_INPUT_INVALID: { message: '{kind}: {problem}', hint: 'Nothing was changed.' },
  CRDT_NODE_UNKNOWN: {
    message: '{kind}: it belongs to no node and can not be changed',
    hint: 'Give the id of this node: to the constructor, or as the second argument of fromJSON(). An id taken from the state would credit the change to another node.',
  },
  CRDT_KIND_MISMATCH: {
    message: '{kind} can not merge {other}',
    hint: 'Only values of one type merge, made by one copy of the package: restore what comes from elsewhere with fromJSON().',
  },
  CONFLICT_STRATEGY_MISSING: {
    message: 'a conflict resolver needs a strategy',
    hint: 'Give it one of the strategies, or an object with a function "resolve"; a CustomResolverStrategy needs its function.',
  },
  CONFLICT_ENTRIES_EMPTY: {
    message: 'there are no entries to resolve',
    hint: 'Give resolveMultiple() one entry at least.',
  },
  CONFLICT_ENTRY_INVALID: {
    message: 'a version can not be ordered: {problem}',
    hint: 'Versions have a timestamp (milliseconds) and a node id (text). If it came from another node, drop it.',
  },
  CONFLICT_RESULT_INVALID: {
    message: 'the strategy returned a result without {field}',
    hint: 'A result has a value, a timestamp (a number), a nodeId and a resolution: local, remote, merged or custom.',
  },
  CONFLICT_RESOLVER_ASYNC: {
    message: 'the custom resolver returned a promise: use resolveAsync()',
    hint: 'Call resolveAsync() instead of resolve(), or make the resolver synchronous.',
  },
  EVENT_LOG_CONFLICT: {
    message: 'log {log}: its last sequence is not {expected}: somebody else has appended',
    hint: 'Read the log to its end and look who leads now. Nothing was appended.',
  },
  EVENT_LOG_MISSING: {
    message: 'log {log} does not exist',
    hint: 'It is made by whoever writes first, or was deleted. A replica that knew it must not go on with another log of that name.',
  },
  EVENT_LOG_UNAVAILABLE: {
    message: 'log {log} can not be reached: {operation} was not carried out',
    hint: 'Try again; nothing was changed.',
  },
  EVENT_LOG_FULL: {
    message: 'log {log} is full',
    hint: 'Raise its limit, or take a snapshot so that it can be trimmed. Nothing was appended.',
  },
  EVENT_INVALID: {
    message: 'the event can not be appended: {problem}',
    hint: 'Events are JSON and fit into one message of the server (1 MiB by default).',
  },
  STATE_STORE_FAILED: {
    message: 'state store {store}: {problem}',
    hint: 'Nothing of this change was kept. Look at the disk and the file; a damaged replica can be made anew from a snapshot.',
  },
  STATE_STORE_FULL: {
    message: 'state store {store}: no room left on its disk',
    hint: 'Make room; the change was not kept and is tried again by a replica.',
  },
  STATE_STORE_IN_USE: {
    message: 'state store {store} is in use by process {pid}',
    hint: 'One replica owns the file. End the other one, or give this one a file of its own.',
  },
  STATE_STORE_VERSION: {
    message: 'state store {store}: {problem}',
    hint: 'Run the version of Canopy that wrote it, or move the file away and let the replica be made anew from a snapshot.',
  },
  STATE_STORE_INPUT_INVALID: {
    message: 'state store {store}: {problem}',
    hint: 'Spaces are names of letters, digits, "-" and "_"; keys are well-formed text of at most 1 KiB; values are JSON. Nothing was changed.',
  },
  STATE_STORE_CLOSED: { message: 'state store {store} is closed', hint: 'It was closed by its owner; open it again.' },
  SNAPSHOT_DAMAGED: {
    message: 'snapshot of {namespace} at {sequence}: {problem}',
    hint: 'It is not used. An older snapshot, or the log from its front, still works if the log reaches back that far.',
  },
  MASTER_EVENT_INVALID: {
    message: 'no event of a master: {problem}',
    hint: 'It was not applied. Look at what sends it: all masters of a group must speak the same format.',
  },
  MASTER_OUTBOX_FULL: {
    message: 'master {masterId} has {limit} events that it could not send',
    hint: 'Nothing was written. Bring the pipeline back, or raise "outboxLimit" where the store has room.',
    retryable: true,
  },
  MASTER_CLOSED: { message: 'master {masterId} is closed', hint: 'Make a new manager.' },
  MASTER_NOT_JOINED: {
    message: 'master {masterId} has not joined its group',
    hint: 'Await subscribe() first: a master without a store must learn which numbers it used before it writes.',
  },
  MASTER_REPLACED: {
    message: 'master {masterId} lives elsewhere: {problem}',
    hint: 'Two processes run under one id, or an old copy of the store came back. Stop this one; getUnsent() lists what it wrote that is in no log. Empty its store, let it join anew, and write that again. One that had not joined yet took nothing over: started again, it takes the name.',
  },
  MASTER_REMOVED: {
    message: 'master {masterId} was taken out of its group while it was away',
    hint: 'The others have forgotten deletes that it has not seen. Save what is in its outbox, empty its store, and let it join anew.',
  },
  MASTER_LOG_TRIMMED: {
    message: 'master {masterId} stands at {position}; log {log} begins at {first}, and no snapshot leads there',
    hint: 'Have another master take a snapshot, and give this one the same snapshot store.',
  },
  MASTER_LOG_REPLACED: {
    message: 'log {log} is not the one that master {masterId} knows: it was made anew',
    hint: 'Positions of one mean nothing in the other. Restore the log, or begin a new group with the state of one master.',
  },
  MASTER_NOT_DURABLE: {
    message: 'master {masterId}: {what} needs an event log and an atomic store',
    hint: 'Give an EventLog as the pipeline and an AtomicStore as the state manager.',
  },
  MANAGER_CLOSED: { message: 'Manager {node} is closed.', hint: 'It was closed by its owner; make a new one.' },
  NOT_LEADER: {
    message: '{node} is not the leader.',
    hint: 'Write to the leader. A node that was deposed writes again after promote().',
  },
  FOLLOWER_READ_ONLY: { message: 'Follower is read-only. Redirect to leader.', hint: 'Write to the leader, {leader}.' },
  STALE_LEADER: {
    message: '{node} does not lead any more: {problem}',
    hint: 'Write to the present leader. Nothing of this write counts.',
  },
  REPLICATION_FAILED: {
    message: 'the write of "{key}" was not acknowledged: {problem}',
    hint: 'With "unknown" it may still show: read before repeating what must not happen twice.',
    retryable: true,
  },
  ACK_INCOMPLETE: {
    message: 'the log has the write at {sequence}, but {reached} of {wanted} followers reported it in time',
    hint: 'Do not repeat it. Look at the lag of the followers, and whether they report their progress.',
  },
  PROMOTION_REFUSED: {
    message: '{node} is not eligible for promotion: {problem}',
    hint: 'Promote another node; or look at promotionEligible and unsafeForcePromotion in its configuration.',
  },
  NO_QUORUM: {
    message: '{node} has no quorum to lead: {problem}',
    hint: 'Give the manager an election, a lock service or a quorum callback, and promote when that agrees.',
  },
  LEADER_LOCK_HELD: {
    message: 'election failed for {node}: the lock is held by {holder}',
    hint: 'That node leads. If it is dead, its lock ends after its timeout.',
  },
  REPLICA_CLOSED: { message: 'replica {node} is closed', hint: 'It was closed by its owner; make a new one.' },
  REPLICA_BUSY: {
    message: 'too many {what} at once: {limit} are allowed',
    hint: 'Slow down; what is under way goes on.',
    retryable: true,
  },
  REPLICA_BEYOND_LOG: {
    message: 'replica {node} stands at {sequence} of another log than {log}: {problem}',
    hint: 'The log was made anew, or this is the state of another log. Bring the log back; or rebuild the replica, which throws its state away.',
  },
  REPLICA_DIVERGED: {
    message: '{node} has {count} writes in its store that were never published',
    hint: 'They were reported as failed. Start the node with an empty store to be equal to the others.',
  },
  REPLICA_STALE_EVENT: {
    message: 'an event of epoch {epoch} from {source} came after epoch {seen}',
    hint: 'A deposed leader still publishes. The event was not applied.',
  },
  SNAPSHOT_MISSING: {
    message: 'log {log} begins at {first}, the replica stands at {sequence}, and there is no snapshot between',
    hint: 'Let a replica that is up to date take a snapshot. This one waits for it.',
  },
  SESSION_TOKEN_INVALID: {
    message: 'the session token can not be read',
    hint: 'It was damaged on its way, or is none of ours. The session must begin anew.',
  },
  SESSION_TOKEN_FOREIGN: {
    message: 'the session token is of {of}, this is {here}',
    hint: 'The session was sent to the wrong place, or the log was made anew: then it must begin anew.',
  },
  SUBSCRIBER_CLOSED: { message: 'the subscriber of {namespace} is closed', hint: 'Make a new one.' },
  SUBSCRIBER_TOPIC_TAKEN: {
    message: 'already subscribed to {topic}',
    hint: 'One subscriber reads a topic once; unsubscribe first, or make another subscriber with a checkpoint store of its own.',
  },
  SUBSCRIBER_TOPIC_UNKNOWN: { message: 'not subscribed to {topic}', hint: 'Call subscribe() first.' },
  SUBSCRIBER_STALLED: {
    message: 'topic {topic}: event {offset} still fails, and {maxAhead} events were handled past it: the topic waits',
    hint: 'Mend the handler, or give deadLetter, which takes such events out of the way. Nothing is lost.',
  },
  SUBSCRIBER_EFFECT_STORE_MISSING: {
    message: 'the handler used its transaction, and the subscriber has no effectStore',
    hint: 'Give effectStore, or make the effect without the transaction.',
  },
  SUBSCRIBER_EFFECT_LATE: {
    message: 'a change of {key} in {space} came after the handler had ended',
    hint: 'A handler must wait for everything that uses its transaction. This change was not made.',
  },
  SUBSCRIBER_EFFECT_TOO_LARGE: {
    message: 'one handler asked for more than {limit} changes',
    hint: 'Split the event. Nothing of it was kept.',
  },
  REPLICATION_NOBODY: {
    message: 'nobody in namespace {namespace} answered within {timeoutMs} ms',
    hint: 'Look at the name of the namespace and the server. Only processes that call serveReplication() answer; NATS permissions must allow canopy.replication-admin.>.',
    retryable: true,
  },
  REPLICATION_NODE_SILENT: {
    message: 'node {node} of namespace {namespace} does not answer',
    hint: 'It does not run, is cut off, or does not call serveReplication(). `canopy replication status` shows who answers.',
    retryable: true,
  },
  REPLICATION_NO_LEADER: {
    message: 'nobody in namespace {namespace} leads, and there is no other master',
    hint: 'Members are kept by the leader, or told to the masters: one of them has to answer.',
    retryable: true,
  },
  REPLICATION_NO_MASTER: {
    message: 'nobody who answers in namespace {namespace} is a master',
    hint: 'Only masters have conflicts. Followers take what their leader wrote.',
  },
  REPLICATION_ADMIN_VERSION: {
    message: '{node} was asked in version {asked} and speaks {spoken}',
    hint: 'Use the command, or the package, of the version that the node runs.',
  },
  REPLICATION_ADMIN_READ_ONLY: {
    message: '{node} answers questions only: {op} is refused',
    hint: 'Its program serves with readOnly. Do it in that program.',
  },
  REPLICATION_ADMIN_BUSY: {
    message: '{node} has {limit} questions to answer already',
    hint: 'Ask again in a moment, and less often.',
    retryable: true,
  },
  REPLICATION_ADMIN_UNSUPPORTED: {
    message: '{node} can not {op}',
    hint: 'Conflicts and clocks are of masters, members of leaders; a rebuilding needs an event log, or the option "rebuild" of serveReplication().',
  },
  REPLICATION_ADMIN_INVALID: { message: '{node} was asked wrongly: {problem}', hint: 'Nothing was done.' },
  REPLICATION_ADMIN_TOO_LARGE: {
    message: '{what} is {bytes} bytes long, {limit} are allowed',
    hint: 'Ask about one entity, or do it in the program itself.',
  },
  CONFLICT_UNKNOWN: {
    message: '{node} knows of no conflict about {entityId}',
    hint: 'It was settled or forgotten meanwhile, or the name is another: `canopy replication conflicts` lists them.',
  },
  CONFLICT_VERSION_UNKNOWN: {
    message: 'no version of {entityId} in the conflict is by {pick}',
    hint: 'Versions are by: {known}.',
  },
  RECOVERY_REFUSED: {
    message: '{node} is not rebuilt: {problem}',
    hint: 'It may have what nobody else has. Have another node lead first, or send what is unsent; `canopy replication recover --discard` throws it away.',
  },
  RECOVERY_FAILED: {
    message: 'the recovery of {node} failed: {problem}',
    hint: 'Mend what it names and begin it again. Until then the node may show an incomplete state.',
  },
});
