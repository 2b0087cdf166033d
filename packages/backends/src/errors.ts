/** The error codes of this package. */
import { defineErrors } from '@canopy/core';

export const backendErrors = defineErrors({
  BACKEND_COMMAND_MISSING: {
    message: 'backend {app}: cannot run "{command}": {problem}',
    hint: 'Name a program on PATH, or a path (relative ones start at cwd: {cwd}), and make it executable.',
  },
  BACKEND_CWD_MISSING: {
    message: 'backend {app}: the working directory {cwd} does not exist',
    hint: 'Create it, or correct "cwd".',
  },
  BACKEND_SPAWN_FAILED: {
    message: 'backend {app}: the operating system did not start the process: {reason}',
    hint: 'Check the limits on processes and memory, and the permissions on cwd.',
    retryable: true,
  },
  BACKEND_RECORD_FAILED: {
    message: 'backend {app}: its record {file} cannot be written: {reason}',
    hint: 'Nothing was started: without the record a later life of this node could not end it. Free disk space, or make the directory writable.',
    retryable: true,
  },
  BACKEND_EXITED: {
    message: 'backend {app}: {command} ended ({how}) {when}{output}',
    hint: 'Its last output says why. Run the command by hand with the same environment and working directory.',
  },
  BACKEND_NEVER_HEALTHY: {
    message: 'backend {app}: not healthy within {timeoutMs} ms; last answer of {endpoint}: {answer}{output}',
    hint: 'Check the health URL and port, or raise startTimeout if it needs longer to start.',
  },
  BACKEND_UNHEALTHY: {
    message: 'backend {app}: {endpoint} failed {failures} times in a row; last answer: {answer}',
    hint: 'The process runs but does not serve. Its log says why.',
  },
  BACKEND_GAVE_UP: {
    message: 'backend {app}: still failing after {restarts} restarts within {withinMs} ms: {reason}',
    hint: 'Another node takes over if one can. Fix the cause, or raise restart.maxRestarts.',
  },
  BACKEND_STOPPED: { message: 'backend {app}: stopped while it was starting' },
});
