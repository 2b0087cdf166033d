/** What the shell is told. Documented in docs/cli.md; never renumbered. */
import { CanopyError, hasCode } from '@canopy/core';

export const EXIT = {
  ok: 0,
  /** The operation was tried and failed. */
  failed: 1,
  /** Wrong usage or a faulty configuration; nothing was tried. */
  usage: 2,
  /** No such app, node or snapshot. */
  notFound: 3,
  /** NATS or the cluster cannot be reached, or refuses us. */
  unreachable: 4,
  /** Not finished within the time allowed; the outcome may be unknown. */
  timeout: 5,
  /** Something else holds what is needed: a port, a directory, a node id, a database. */
  busy: 6,
  /** The disk is full or the directory can't be written. */
  storage: 7,
  /** This Node.js is too old. Set by bin/canopy.js. */
  oldNode: 69,
  /** A bug in Canopy. */
  bug: 70,
  /** `elect --once`: leadership went while the command ran. */
  leadershipLost: 75,
  /** `elect`: the command exists but cannot be run; as in a shell. */
  commandUnusable: 126,
  /** `elect`: there is no such command; as in a shell. */
  commandMissing: 127,
  interrupted: 130,
} as const;

const BY_CODE: Readonly<Record<string, number>> = {
  OPTIONS_INVALID: EXIT.usage,
  NAME_INVALID: EXIT.usage,
  CONFIG_MISSING: EXIT.usage,
  CONFIG_UNREADABLE: EXIT.usage,
  CONFIG_SYNTAX: EXIT.usage,
  CONFIG_INVALID: EXIT.usage,
  USAGE: EXIT.usage,
  REPLICATION_ADMIN_INVALID: EXIT.usage,
  NATS_URL_INVALID: EXIT.usage,
  SQLITE_STORE_INVALID: EXIT.usage,
  SQLITE_DESTINATION_INVALID: EXIT.usage,
  SQLITE_LOG_EMPTY: EXIT.notFound,
  SQLITE_TARGET_UNREACHABLE: EXIT.notFound,
  SQLITE_POSITION_UNKNOWN: EXIT.notFound,
  CLUSTER_UNKNOWN: EXIT.usage,
  APP_UNKNOWN: EXIT.notFound,
  APP_DB_NONE: EXIT.notFound,
  SNAPSHOT_UNKNOWN: EXIT.notFound,
  SQLITE_SNAPSHOT_MISSING: EXIT.notFound,
  LOG_SNAPSHOT_UNKNOWN: EXIT.notFound,
  FILE_MISSING: EXIT.notFound,
  DIVERGENCE_UNKNOWN: EXIT.notFound,
  SQLITE_DIVERGENCE_MISSING: EXIT.notFound,
  DIVERGENCE_AMBIGUOUS: EXIT.usage,
  SQLITE_SNAPSHOT_NAME: EXIT.usage,
  NODE_UNKNOWN: EXIT.notFound,
  ELECTION_GROUP_VACANT: EXIT.notFound,
  CONFLICT_UNKNOWN: EXIT.notFound,
  CONFLICT_VERSION_UNKNOWN: EXIT.notFound,
  REPLICATION_NO_LEADER: EXIT.notFound,
  REPLICATION_NO_MASTER: EXIT.notFound,
  NATS_UNREACHABLE: EXIT.unreachable,
  NATS_AUTH: EXIT.unreachable,
  NATS_PERMISSION: EXIT.unreachable,
  NATS_SERVER_MISSING: EXIT.unreachable,
  JETSTREAM_DISABLED: EXIT.unreachable,
  JETSTREAM_UNAVAILABLE: EXIT.unreachable,
  KV_BUCKET_MISSING: EXIT.unreachable,
  BLOB_BUCKET_MISSING: EXIT.unreachable,
  BUS_NO_RESPONDERS: EXIT.unreachable,
  REPLICATION_NOT_RUNNING: EXIT.unreachable,
  NODE_UNREACHABLE: EXIT.unreachable,
  ELECTION_HOLDER_SILENT: EXIT.unreachable,
  REPLICATION_NOBODY: EXIT.unreachable,
  REPLICATION_NODE_SILENT: EXIT.unreachable,
  ELECT_LEADERSHIP_LOST: EXIT.leadershipLost,
  ELECT_SPAWN_FAILED: EXIT.commandUnusable,
  ELECT_COMMAND_UNUSABLE: EXIT.commandUnusable,
  ELECT_COMMAND_MISSING: EXIT.commandMissing,
  INTERRUPTED: EXIT.interrupted,
  DEADLINE_EXCEEDED: EXIT.timeout,
  TIME_RAN_OUT: EXIT.timeout,
  SQLITE_NOT_APPLIED: EXIT.timeout,
  SQLITE_PROCESS_SILENT: EXIT.timeout,
  REPLICATION_SILENT: EXIT.timeout,
  NODE_ID_IN_USE: EXIT.busy,
  PORT_TAKEN: EXIT.busy,
  LISTEN_TAKEN: EXIT.busy,
  NATS_DATA_DIR_IN_USE: EXIT.busy,
  DIRECTORY_IN_USE: EXIT.busy,
  SQLITE_IN_USE: EXIT.busy,
  SQLITE_DESTINATION_BUSY: EXIT.busy,
  SQLITE_DATABASE_BUSY: EXIT.busy,
  DIRECTORY_UNWRITABLE: EXIT.storage,
  DATA_DIR_UNUSABLE: EXIT.storage,
  SQLITE_UNWRITABLE: EXIT.storage,
  NATS_DATA_DIR_UNWRITABLE: EXIT.storage,
  SQLITE_DISK_FULL: EXIT.storage,
  SQLITE_VERIFY_NO_SPACE: EXIT.storage,
  DISK_FULL: EXIT.storage,
  FILE_UNWRITABLE: EXIT.storage,
  OUTPUT_UNWRITABLE: EXIT.storage,
  ASSERTION_FAILED: EXIT.bug,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof Error && error.name === 'AbortError') return EXIT.interrupted;
  if (!CanopyError.is(error)) return EXIT.bug;
  if (hasCode(error, ...Object.keys(BY_CODE))) return BY_CODE[error.code] as number;
  return EXIT.failed;
}
