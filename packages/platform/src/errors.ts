/** The error codes of this package. */
import { defineErrors } from '@canopy/core';

export const platformErrors = defineErrors({
  NODE_ID_IN_USE: {
    message: 'node id "{node}" of platform "{platform}" is held by process {pid} on {host} since {since}',
    hint: 'Give this node another id, or stop the other process. After a crash the id is free again once its record has not been refreshed for {staleMs} ms.',
    retryable: true,
  },
  NODE_ID_LOST: {
    message: 'node id "{node}" was taken over by process {pid} on {host}',
    hint: 'This process did not refresh its record for too long (it was frozen or cut off), and another one has taken the id. It has stopped its apps; start it again, with an id of its own if the other process is meant to stay.',
  },
  DATA_DIR_UNUSABLE: {
    message: 'data directory {directory} cannot be used: {problem}',
    hint: 'Create it, give this user write permission to it, and see that its file system has free space.',
  },
  LISTEN_TAKEN: {
    message: '{option}: port {port} on {host} is taken',
    hint: 'Stop what listens there, or set {option} to another port (0 picks a free one).',
  },
  LISTEN_FAILED: {
    message: '{option}: cannot listen on {host}:{port}: {problem}',
    hint: 'Set {option} to an address of this machine and to a port that this user may open.',
  },
  APP_EXISTS: {
    message: 'platform "{platform}" already has an app "{app}" on this node',
    hint: 'Call platform.app() once per app.',
  },
  APP_UNKNOWN: {
    message: 'no node of platform "{platform}" runs an app "{app}"',
    hint: 'Apps there are: {known}.',
  },
  APP_NOT_ACTIVE: {
    message: 'app "{app}" is not active on node "{node}"',
    hint: 'Ask for the active node with `canopy app status {app}`; it may just have moved.',
    retryable: true,
  },
  HANDOFF_TARGET_INVALID: {
    message: 'app "{app}" cannot be handed to node "{to}": {problem}',
    hint: 'Name another node that runs the app as a standby (`canopy app status {app}`), or step down without naming one.',
  },
  APP_DB_NONE: {
    message: 'app "{app}" has no database',
    hint: 'Give platform.app() a database, such as sqlite(path).',
  },
  APP_DB_NOT_PRIMARY: {
    message: 'node "{node}" is not primary for the database of app "{app}" (it is {role}; primary: {primary})',
    hint: 'Ask the primary, or wait until this node is it: onActive tells, and `canopy db status {app}` shows who is.',
    retryable: true,
  },
  APP_DB_CLOSED: {
    message: 'the database of app "{app}" is not open on node "{node}"',
    hint: 'It is opened when the app starts, and again after a failure; `canopy db status {app}` says why it is not.',
    retryable: true,
  },
  APP_DB_UNUSABLE: {
    message: 'the database of app "{app}" at {path} cannot be opened in this process: {reason}',
    hint: 'This process needs to read and write the file, its -wal and its -shm.',
  },
  APP_DB_UNSUPPORTED: {
    message: 'the database of app "{app}" cannot do "{op}"',
    hint: 'Its kind has no administration.',
  },
  APP_DB_BUSY: {
    message: 'app "{app}": other programs kept the database locked for {timeoutMs} ms',
    hint: 'Nothing was done. Keep write transactions of other programs short; a log that cannot be shipped holds writers, too (canopy db status).',
    retryable: true,
  },
  APP_DB_TRANSACTION: {
    message: 'app "{app}": a transaction is used wrongly: {problem}',
    hint: 'Nothing was committed. Do the waiting before or after, and leave BEGIN, COMMIT and ROLLBACK to transaction().',
  },
  APP_DB_ROLLED_BACK: {
    message: 'app "{app}": the transaction was rolled back at its commit: {reason}',
    hint: 'Nothing of it is in the database: it can be repeated, on the node that is primary by now.',
    retryable: true,
  },
  APP_DB_UNCONFIRMED: {
    message: 'app "{app}": the transaction is committed on node {node}, but not confirmed: {reason}',
    hint: 'Do not just repeat it. It counts if the next primary has it: look for it there, or repeat only what is idempotent.',
  },
  NODE_UNREACHABLE: {
    message: 'node "{node}" does not answer',
    hint: 'It is not running, or cut off from NATS. `canopy status` shows when it was last seen.',
    retryable: true,
  },
  CONTROL_METHOD_UNKNOWN: {
    message: 'node "{node}" knows no control method "{method}"',
    hint: 'The node runs an older version than the caller: update it.',
  },
  CONTROL_FAILED: {
    message: 'the node could not do it: {problem}',
    hint: 'Look at the log of the node.',
  },
  CONTROL_REQUEST_INVALID: {
    message: 'control request "{method}": {problem}',
    hint: 'Send a JSON object with the fields that the method needs.',
  },
  SYNC_REQUEST_INVALID: {
    message: 'sync request: {problem}',
    hint: 'POST /apps/APP/sync, with applied=N and timeout=5s where wanted.',
  },
  CONTROL_REPLY_INVALID: {
    message: 'node "{node}" answered "{method}" with something that is no control reply',
    hint: 'Something else answers on that subject, or versions differ.',
  },
  STEP_TIMEOUT: {
    message: 'app "{app}": step "{step}" did not end within {timeoutMs} ms',
    hint: 'The app steps down and tries again later, or another node takes over. Look at the log of the hook or backend concerned.',
    retryable: true,
  },
  HOOK_FAILED: {
    message: 'app "{app}": hook {hook} failed: {problem}',
    hint: 'The error is in the hook itself; see the log around it.',
  },
  SHUTDOWN_TIMEOUT: {
    message: 'shutdown of node "{node}" did not end within {timeoutMs} ms; it was forced',
    hint: 'What was still running is named in the log. Raise stopTimeout if it only needs longer.',
  },
  PROXY_NO_ACTIVE: {
    message: 'app "{app}" has no active instance; waited {waitedMs} ms',
    hint: 'Nothing was done with this request: send it again. If it lasts, `canopy app status {app}` says why.',
    retryable: true,
  },
  PROXY_QUEUE_FULL: {
    message: 'app "{app}": {limit} requests wait for an active instance already',
    hint: 'Nothing was done with this request: send it again later.',
    retryable: true,
  },
  PROXY_BODY_TOO_LARGE: {
    message: 'the request body is larger than {limit} bytes',
    hint: 'Send less, or raise proxy.maxBodyBytes.',
  },
  PROXY_OUTCOME_UNKNOWN: {
    message: 'app "{app}": the connection to the active instance broke after the request was sent',
    hint: 'The request may or may not have been carried out. Look before repeating anything that is not idempotent.',
    retryable: true,
  },
  PROXY_NOT_REPLICATED: {
    message: 'app "{app}": the request was carried out, but could not be confirmed as replicated: {reason}',
    hint: 'It counts only if the next active instance has it. Look before repeating anything that is not idempotent.',
    retryable: true,
  },
  PROXY_UNREACHABLE: {
    message: 'app "{app}": the active instance could not be reached; tried for {waitedMs} ms',
    hint: 'Nothing was done with this request: send it again.',
    retryable: true,
  },
  PROXY_RESPONSE_TIMEOUT: {
    message: 'app "{app}": the active instance did not answer within {timeoutMs} ms',
    hint: 'The request may or may not have been carried out. Raise proxy.responseTimeout if it needs longer.',
    retryable: true,
  },
});
