/** The error codes of `canopy elect`. */
import { defineErrors } from '@canopy/core';

export const electErrors = defineErrors({
  ELECT_COMMAND_MISSING: {
    message: 'cannot run {command}: {problem}',
    hint: 'Name a program on PATH, or a path to one.',
  },
  ELECT_COMMAND_UNUSABLE: { message: 'cannot run {command}: {problem}', hint: 'Make it executable, or name another.' },
  ELECT_SPAWN_FAILED: {
    message: 'the operating system did not start {command}: {reason}',
    hint: 'Check the limits on processes and memory.',
    retryable: true,
  },
  ELECT_LEADERSHIP_LOST: {
    message: 'group {group}: {id} no longer leads ({reason}); the command was ended',
    hint: 'Without --once, canopy elect would stand again and run it anew.',
    retryable: true,
  },
  ELECT_ENDED: {
    message: 'group {group}: the election of {id} ended by itself: {reason}',
    hint: 'The connection to NATS was closed for good, or the warden cannot be started; see the log with --log-file.',
    retryable: true,
  },
});
