/** The error codes of this package. Format and log first, then the roles built on them. */
import { defineErrors } from '@canopy/core';

export const sqliteErrors = defineErrors({
  SQLITE_LTX_INVALID: {
    message: '{object} is not a valid LTX file: {problem}',
    hint: 'The stored bytes are damaged or were cut off. Nothing of it was used. Restore from another snapshot, or repair the bucket from a replica.',
  },
  SQLITE_PAGE_SIZE_MISMATCH: {
    message: '{object} has pages of {actual} bytes, expected {expected}',
    hint: 'The page size was changed (VACUUM). A primary begins with a full image then, from which restores go on and standbys are made anew; a log that another program has written has to be begun anew.',
  },
  SQLITE_WAL_CHANGED: {
    message: 'the WAL was cut off while it was read (frame at {offset})',
    hint: 'Another program checkpoints the database. Leave checkpoints to Canopy: set wal_autocheckpoint to 0 and do not run wal_checkpoint(TRUNCATE).',
    retryable: true,
  },
  SQLITE_IMAGE_MOVED: {
    message: 'the state of {path} that was to be stored has moved on while it was read: {how}',
    hint: 'Nothing of it was stored; it is read anew. Another program has changed the WAL past the read lock that is held on it: let none but SQLite open the -wal and -shm files.',
    retryable: true,
  },
  SQLITE_FENCED: {
    message:
      'log {bucket}: transaction {txid} was taken under epoch {takenEpoch} by {takenNode}; {node}, under epoch {epoch}, may not write',
    hint: 'Another primary has extended the log. This node must stop writing; what it has not shipped is kept, in its file or aside.',
  },
  SQLITE_APPEND_UNKNOWN: {
    message: 'log {bucket}: whether transaction {txid} was stored is not known',
    hint: 'Append the same bytes again: it succeeds when they are there already.',
    retryable: true,
  },
  SQLITE_LOG_STUCK: {
    message: 'log {bucket}: NATS answers, but stores nothing in it',
    hint: 'So it is after the disk of nats-server was full: make room there and restart nats-server, which takes no more writes to a stream after one that failed. What is committed waits in the file.',
    retryable: true,
  },
  SQLITE_LOG_SILENT: {
    message: 'log {bucket}: JetStream does not answer',
    hint: 'Look whether nats-server runs, and in a cluster whether enough servers are up. What is committed waits in the file.',
    retryable: true,
  },
  SQLITE_LOG_GAP: {
    message: 'log {bucket}: transactions {from} to {to} are missing ({problem})',
    hint: 'History past the gap cannot be used. Start from a snapshot taken after it, or restore the bucket from a backup.',
  },
  SQLITE_LOG_LOST: {
    message:
      'log {bucket} no longer has transaction {txid}, which was stored in it: the bucket was made anew, or restored from a backup',
    hint: 'The database on this node is intact; nothing is acknowledged until this is settled. Either bring the bucket back as it was. Or go on from this file: stop all nodes, copy the database, delete the bucket, move the directory <database>-canopy of this node away, start this node first; then move the database files of the others away and start them.',
  },
  SQLITE_LOG_MIXED: {
    message:
      'log {bucket} is unsound: from transaction {txid} on it holds log {log}, before it log {before}, which are two databases',
    hint: 'Nothing was put together from the two. Restore to a transaction before that one. The next full image of a running primary begins a history that does not need what is mixed: see first that its file is the right one.',
  },
  SQLITE_STORE_INVALID: {
    message: '{store} is no place for a log: {problem}',
    hint: 'Write nats://host:4222/bucket, or the path of a directory.',
  },
  SQLITE_FOREIGN_FILE: {
    message: '{path} is not what log {bucket} holds: they part at transaction {fork}, the log ends at {end}',
    hint: 'Nothing was changed. If the log is right, move the file and its -canopy directory away and start again (a primary of its own with `create`, `--create`): it is made from the log. If the file is right, move its -canopy directory away and name another bucket or directory: a new log begins there.',
  },
  SQLITE_LOG_DAMAGED: {
    message: 'log {bucket}: transaction {txid} cannot be read: {problem}',
    hint: 'A standby that needs it is made anew from a snapshot beyond it, as soon as there is one (see snapshotInterval); standbys that have it already go on.',
  },
  SQLITE_NOT_READY: {
    message: '{path} cannot be promoted now: it is {role} ({problem})',
    hint: 'It becomes a standby by itself when the reason is gone; until then another node has to take over.',
    retryable: true,
  },
  SQLITE_LOG_EMPTY: {
    message: 'log {bucket} holds nothing to restore',
    hint: 'No primary has written to it yet. Check its name: that of the bucket or directory, or those of platform and app.',
  },
  SQLITE_TARGET_UNREACHABLE: {
    message: 'log {bucket} cannot be restored to {target}: {problem}',
    hint: 'Choose a point between the oldest snapshot kept and the end of the log.',
  },
  SQLITE_DESTINATION_EXISTS: {
    message: '{path} exists already',
    hint: 'Choose another destination, move the file (with its -wal, -shm and -journal files) away first, or say `overwrite` (`--overwrite`) to replace it.',
  },
  SQLITE_DESTINATION_BUSY: {
    message: '{path} is being restored already (by process {pid})',
    hint: 'Wait until that restore has ended, or choose another destination.',
    retryable: true,
  },
  SQLITE_DESTINATION_INVALID: {
    message: 'no database can be made at {path}: {problem}',
    hint: 'Name a file, in a directory that is there (mkdir -p makes one). Nothing was read or written.',
  },
  SQLITE_DISK_FULL: {
    message: 'the disk is full at {path}',
    hint: 'Free some space; nothing half-done was left behind.',
    retryable: true,
  },
  SQLITE_INTEGRITY_FAILED: {
    message: '{path} failed the {method} check: {problem}',
    hint: 'The restored file was removed. Restore an earlier point, and verify the source database.',
  },
  SQLITE_TOO_OLD: {
    message: 'SQLite {version} is too old: {required} or newer is needed',
    hint: 'Older versions can lose pages at a checkpoint. Run a newer Node.js; its SQLite comes with it.',
  },
  SQLITE_FILE_MISSING: {
    message: 'there is no database at {path}',
    hint: 'Check the path. To have one made there from the log, or an empty one for a new log, say `create` (`canopy db replicate --create`). Nothing was changed.',
  },
  SQLITE_NOT_A_DATABASE: {
    message: '{path} is not a SQLite database that can be read',
    hint: 'Check the path. An encrypted database, or one of another format, cannot be replicated. Nothing was changed.',
  },
  SQLITE_CORRUPT: {
    message: '{path} is damaged: {problem}',
    hint: 'On a standby, stop the node and move the file away: it is rebuilt from the log. On a primary, restore a snapshot.',
  },
  SQLITE_UNWRITABLE: {
    message: '{path} cannot be written: {reason}',
    hint: 'Give the user that runs Canopy write permission to the database file and to its directory.',
  },
  SQLITE_IN_USE: {
    message: '{path} is open by another Canopy process (pid {pid}, node {node})',
    hint: 'One database belongs to one node. Stop the other process, or give this node a path of its own.',
    retryable: true,
  },
  SQLITE_DATABASE_BUSY: {
    message: '{path} stayed locked by another program for {timeoutMs} ms',
    hint: 'Find the program that keeps a transaction or a connection open (lsof shows it) and end it.',
    retryable: true,
  },
  SQLITE_WAL_UNAVAILABLE: {
    message: '{path} could not be switched to WAL mode (it stays in {mode})',
    hint: 'WAL needs a local file system with shared memory; network file systems do not have it.',
  },
  SQLITE_WAL_INDEX_UNKNOWN: {
    message: '{path} has a wal-index of version {version}, which is not known here',
    hint: 'What is committed could not be told apart from what is not. Run this version of Canopy with the Node.js it was made for.',
  },
  SQLITE_FILE_REPLACED: {
    message: '{path} was {how} while it was in use',
    hint: 'Stop the node before you touch the file. The log still has everything that was shipped. To go on from older data, restore it to a new file and give that a log of its own.',
  },
  SQLITE_REPLICA_MODIFIED: {
    message: '{path} was written by another program although it is a standby copy',
    hint: 'Only the primary is written to. Where a platform manages the copy, what was written is kept aside and the copy is made anew; canopy db follow and Replica end, and leave the file as it is.',
  },
  SQLITE_EPOCH_STALE: {
    message: 'epoch {epoch} may not take the log: it was last claimed under epoch {claimed}',
    hint: 'Another node has been elected since. This node stays a standby.',
  },
  SQLITE_LOG_BEHIND: {
    message: '{path} is at {position}, but the log ends at {end}',
    hint: 'The log was replaced, or restored from an older backup. Bring it back as it was. Or, if this file is the truth: stop all nodes, copy the database, delete the log (the bucket or the directory), move the directory {path}-canopy away and start this node first; then move the database files of the others away and start them.',
  },
  SQLITE_NOT_PRIMARY: {
    message: '{path} is not primary on this node (it is {role})',
    hint: 'Ask the active node.',
  },
  SQLITE_NOT_APPLIED: {
    message: '{position} is in the log, but {applied} of {wanted} standbys have said that they applied it ({seen})',
    hint: 'Nothing is lost: the log has it. Look at the standbys that are missing (canopy db status), or ask for fewer.',
    retryable: true,
  },
  SQLITE_POSITION_UNKNOWN: {
    message:
      'log {bucket} has the transaction of {position} under epoch {epoch}: what was written there is not in this log',
    hint: 'The position is of a log that was lost or of commits that were never shipped. Read the state anew.',
  },
  SQLITE_PROCESS_DIED: {
    message: 'the database process of {path} ended ({how})',
    hint: 'It is started again as a standby, unless that was its fourth end in a row: then start the program again once the reason is gone. Its log lines before the end say why it ended.',
    retryable: true,
  },
  SQLITE_PROCESS_SILENT: {
    message: 'the database process of {path} (pid {pid}) does not answer',
    hint: 'It is stopped (kill -CONT lets it go on), waits for a disk, or is at a step that takes long. What is committed stays in the file; it is not known whether the log has it.',
    retryable: true,
  },
  SQLITE_SNAPSHOT_NAME: {
    message: '"{id}" cannot be the name of a snapshot',
    hint: 'Use 1 to 100 letters, digits, dots, underscores and hyphens, beginning with a letter or digit.',
  },
  SQLITE_SNAPSHOT_EXISTS: {
    message: 'there is a snapshot named {id} already',
    hint: 'Choose another name, or delete that one first. Nothing was overwritten.',
  },
  SQLITE_SNAPSHOT_MISSING: {
    message: 'there is no snapshot named {id}',
    hint: 'List the snapshots to see which ones there are.',
  },
  SQLITE_VERIFY_NO_SPACE: {
    message: 'a restore of {path} was not tried: it needs {needed} bytes of disk, {free} are free',
    hint: 'Free some space on the disk of the database (canopy db verify: where --scratch points), or turn the proof off on this node with verifyInterval: 0. Replication is not affected.',
    retryable: true,
  },
  SQLITE_VERIFY_FAILED: {
    message: 'the log {bucket} could not be restored: {problem}',
    hint: 'The database itself is not affected. A full image from its file begins a history that does not need the damaged part: a running primary whose own proof fails stores one at once; else start the primary again with a short snapshotInterval (canopy db replicate --snapshot-interval 10s) until this proof succeeds. Then look at the stream behind the bucket.',
  },
  SQLITE_ADMIN_UNKNOWN: {
    message: 'this database knows no request "{op}"',
    hint: 'Known: {known}. Node and caller may be of different versions.',
  },
  SQLITE_DIVERGENCE_MISSING: {
    message: 'no divergence "{id}" is kept beside {path} on this node',
    hint: 'Kept there: {known}. Each node keeps its own: canopy db divergence list shows all.',
  },
  SQLITE_STOPPED: { message: 'the database {path} has been stopped' },
});
