/** The error codes of this package. */
import { defineErrors } from '@canopy/core';

export const replicationErrors = defineErrors({
  VECTOR_CLOCK_INVALID: {
    message: 'vector clock: {problem}',
    hint: 'A vector clock is a record of node ids (1 to 256 characters) and whole numbers from 0 to 2^53-1. If it came from another node, drop the message: it can not be ordered.',
  },
  HYBRID_TIMESTAMP_INVALID: {
    message: 'hybrid timestamp: {problem}',
    hint: 'Its text is 12 hexadecimal digits of milliseconds, 4 of a counter and the node name, joined by "-".',
  },
  HYBRID_CLOCK_DRIFT: {
    message:
      'the timestamp {timestamp} lies {aheadMs} ms ahead of the wall clock of {nodeId}; {maxDriftMs} ms are allowed',
    hint: 'Compare the clocks of both nodes and have them kept by NTP. The event was not taken over.',
  },
});
