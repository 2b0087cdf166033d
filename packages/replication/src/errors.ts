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
    message: 'the custom resolver returned a promise to resolve()',
    hint: 'Call resolveAsync() instead, or make the resolver synchronous.',
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
    message: 'master {masterId} lives elsewhere: another store has taken its name',
    hint: 'Two processes run under one id, or an old copy of the store came back. Stop this one; what it had not sent is in its outbox.',
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
});
