/** Core's own error codes. */
import { defineErrors } from './catalogue.ts';

export const coreErrors = defineErrors({
  OPTIONS_INVALID: { message: '{subject}: {summary}', hint: 'Correct the fields named above; nothing was started.' },
  STATE_INVALID: {
    message: '{subject} cannot {action} while it is {state}',
    hint: 'Each object runs once: make a new one after stop().',
  },
  DEADLINE_EXCEEDED: {
    message: '{operation} did not finish within {timeoutMs} ms',
    hint: 'The outcome is unknown. Look at the state before repeating anything that is not idempotent.',
    retryable: true,
  },
  NAME_INVALID: {
    message: '{kind} name "{name}" is not allowed: {problem}',
    hint: 'Use 1 to 63 letters, digits and "-" ("_" too where the name is not a platform or app), beginning with a letter or digit.',
  },
  ASSERTION_FAILED: { message: 'bug: {what}', hint: 'Please report this with the log around it.' },
});

/** A bug in this code, never a condition of the outside world. Always on, never caught. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw coreErrors.create('ASSERTION_FAILED', { what });
}
