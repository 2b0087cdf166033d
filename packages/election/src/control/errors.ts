/** The error codes of asking a holder from outside. */
import { defineErrors } from '@canopy/core';

export const controlErrors = defineErrors({
  ELECTION_GROUP_VACANT: {
    message: 'group {group} in bucket {bucket} has no leader',
    hint: 'Nobody stands, or an election is under way; `canopy election watch` shows it.',
    retryable: true,
  },
  ELECTION_HOLDER_SILENT: {
    message: 'group {group}: its leader {holder} does not answer requests to step down',
    hint: 'Only processes that run an ElectionResponder do (canopy elect does). Stop that process instead; its lease is released or runs out.',
    retryable: true,
  },
  ELECTION_TERM_CHANGED: {
    message: 'group {group}: {instanceId} leads under epoch {actual}, not {expected}',
    hint: 'Leadership moved meanwhile. Look again before asking again.',
    retryable: true,
  },
});
