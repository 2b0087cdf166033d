/** The error codes of the command line. */
import { defineErrors } from '@canopy/core';

export const cliErrors = defineErrors({
  CONFIG_MISSING: {
    message: 'the configuration file {file} does not exist',
    hint: 'Give its path with --config. examples/ledger/node.yaml is a complete one; docs/configuration.md explains the keys.',
  },
  CONFIG_UNREADABLE: {
    message: 'the configuration file {file} cannot be read: {reason}',
    hint: 'Check the path and its permissions.',
  },
  CONFIG_SYNTAX: {
    message: 'the configuration file {file} is not valid {format}: {reason}',
    hint: 'Correct the line named above.',
  },
  CONFIG_INVALID: {
    message: '{file} has {count} fault(s):\n{list}',
    hint: 'Correct the fields named above; nothing was started.',
  },
  INTERRUPTED: {
    message: 'interrupted; {left}',
    hint: 'Run it again when you like: it begins anew.',
  },
  TIME_RAN_OUT: {
    message: '{what} was not finished within {timeout}; {left}',
    hint: 'Give a longer --timeout, or none: without it there is no bound.',
    retryable: true,
  },
  USAGE: { message: '{problem}', hint: 'See {command} --help.' },
  CLUSTER_UNKNOWN: {
    message: 'no cluster to talk to: {problem}',
    hint: 'Give --server and --platform (or NATS_URL and PLATFORM), --config FILE, or run this where `npx canopy up` was started.',
  },
  NODE_UNKNOWN: { message: 'platform {platform} has no node "{node}"', hint: 'Known nodes: {known}.' },
  SNAPSHOT_UNKNOWN: {
    message: 'app {app} has no snapshot "{id}"',
    hint: 'None was ever made: canopy snapshot list {app} shows what else there is to go back to.',
  },
  LOG_SNAPSHOT_UNKNOWN: {
    message: 'there is no snapshot "{id}" beside this log',
    hint: 'None was ever made: canopy db snapshot list shows what else there is to go back to.',
  },
  FILE_MISSING: { message: 'there is no {file}', hint: 'Check the path; nothing of it is kept aside either.' },
  FILE_UNWRITABLE: {
    message: '{file} cannot be written: {reason}',
    hint: 'Name a file in a directory that is there, with room, and that you may write in. Nothing was left behind.',
  },
  DIVERGENCE_UNKNOWN: {
    message: 'nothing of {of} is kept aside as "{id}"',
    hint: 'Kept are: {known}.',
  },
  DIVERGENCE_AMBIGUOUS: { message: 'several nodes keep a divergence "{id}"', hint: 'Name one with --node: {nodes}.' },
  FILE_EXISTS: {
    message: '{file} exists already',
    hint: 'Name another file, or give --overwrite to replace it. Nothing was written.',
  },
  REPLICATION_NOT_RUNNING: {
    message: 'nobody replicates {file} here: no canopy db replicate or follow of it answers',
    hint: 'Start canopy db replicate on it, on this machine and as this user. Of a log itself: canopy db status --store.',
    retryable: true,
  },
  REPLICATION_SILENT: {
    message: 'the canopy db replicate or follow of {file} does not answer, though it is there',
    hint: 'It is stopped (kill -CONT lets it go on), or waits for a disk. Whether the log has what was committed is not known.',
    retryable: true,
  },
  REPLICATION_IS_COPY: {
    message: '{file} is a copy here: what is committed is committed elsewhere',
    hint: 'Ask where canopy db replicate runs.',
  },
  REPLICATION_INCOMPLETE: {
    message: 'the replication of {file} did not end in order: {problem}',
    hint: 'Start it again with the same file and log once the log can be reached; until then do not rely on the log for what is missing.',
  },
  CONTROL_PATH_LONG: {
    message: '{path} is too long for the name of a socket',
    hint: 'A database with a shorter path can be asked; replication works with any.',
  },
  NO_ACTIVE_NODE: {
    message: 'app {app} has no active node at the moment',
    hint: 'npx canopy app status {app} shows why.',
    retryable: true,
  },
  DIRECTORY_IN_USE: {
    message: 'another canopy up runs in {directory} (process {pid})',
    hint: 'Stop it first (ctrl-C where it runs), or use another directory with --dir.',
  },
  DIRECTORY_UNWRITABLE: {
    message: 'cannot write in {directory}: {reason}',
    hint: 'Correct its permissions or make space there, or name another directory (--dir of up, dataDir or --log-file of run).',
  },
  DISK_FULL: {
    message: 'the disk that holds {directory} is full ({free} of {total} left): NATS and the databases cannot write',
    hint: 'Make space there; where `canopy up` runs, the cluster goes on by itself afterwards.',
    retryable: true,
  },
  OUTPUT_UNWRITABLE: {
    message: 'the result could not be written: {reason}',
    hint: 'What was asked for was done; only its output is lost. Make space, or write it elsewhere.',
  },
  NODE_START_FAILED: { message: 'node {node} did not start: {reason}', hint: 'Its log: {logFile}' },
});
