/** The warden's error codes. */
import { defineErrors } from '@canopy/core';

export const wardenErrors = defineErrors({
  WARDEN_START_FAILED: {
    message: 'the warden process did not start: {reason}',
    hint: 'It is a Node program of its own: check the limits on processes and memory, and the log lines before this one.',
    retryable: true,
  },
  WARDEN_FENCED: {
    message: 'lease {lease}: its deadline passed before a newer one came, so what it guarded was ended',
    hint: 'This process was frozen or starved for longer than its lease. Give it more CPU, or use a longer ttl.',
  },
  WARDEN_NOT_HELD: {
    message: 'lease {lease}: process {pid} was to run under it, but it is not held',
    hint: 'Start a backend only while leader. The process was ended.',
  },
  WARDEN_LOST: {
    message: 'lease {lease}: the warden process ended and no other took its place before the deadline',
    hint: 'Leadership was given up because nothing guarded it. Look for what killed the warden (out of memory?).',
  },
  WARDEN_UNAVAILABLE: {
    message: 'lease {lease}: the warden did not answer within {timeoutMs} ms',
    hint: 'The machine is overloaded, or the warden process is being replaced.',
    retryable: true,
  },
  WARDEN_STOPPED: {
    message: 'lease {lease}: the warden is not running',
    hint: 'Start the warden before using its leases.',
  },
  WARDEN_PROCESS_GONE: {
    message: 'lease {lease}: process {pid} ended before it could be guarded',
    hint: 'Look at what the process itself said when it ended.',
  },
});
