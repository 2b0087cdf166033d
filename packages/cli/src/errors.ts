/** The error codes of the command line. */
import { defineErrors } from '@canopy/core';

export const cliErrors = defineErrors({
  CONFIG_MISSING: {
    message: 'the configuration file {file} does not exist',
    hint: 'Give its path with --config. docs/configuration.md shows a complete one.',
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
  USAGE: { message: '{problem}', hint: 'See canopy {verb} --help.' },
  CLUSTER_UNKNOWN: {
    message: 'no cluster to talk to: {problem}',
    hint: 'Give --server and --platform (or NATS_URL and PLATFORM), --config FILE, or run this where `canopy up` was started.',
  },
  NODE_UNKNOWN: { message: 'platform {platform} has no node "{node}"', hint: 'Known nodes: {known}.' },
  NO_ACTIVE_NODE: {
    message: 'app {app} has no active node at the moment',
    hint: 'canopy app status {app} shows why.',
    retryable: true,
  },
  DIRECTORY_IN_USE: {
    message: 'another canopy up runs in {directory} (process {pid})',
    hint: 'Stop it first (ctrl-C where it runs), or use another directory with --dir.',
  },
  DIRECTORY_UNWRITABLE: {
    message: 'cannot write in {directory}: {reason}',
    hint: 'Use another directory with --dir, or correct its permissions.',
  },
  NODE_START_FAILED: { message: 'node {node} did not start: {reason}', hint: 'Its log: {logFile}' },
});
