/** Error codes of the embedded server that are about this machine, not about NATS. The others are in ../errors.ts. */
import { defineErrors } from '@canopy/core';

export const serverErrors = defineErrors({
  NATS_DATA_DIR_UNWRITABLE: {
    message: 'the data directory {dataDir} of the NATS server cannot be used: {reason}',
    hint: 'Choose a directory that this user may write, or correct its owner, mode or free space.',
  },
  NATS_DATA_DIR_IN_USE: {
    message: 'the data directory {dataDir} belongs to a NATS server that process {ownerPid} runs',
    hint: 'End that process, or choose another data directory. Two servers on one directory would damage it.',
  },
  NATS_CLUSTER_NOT_READY: {
    message: 'the cluster of {size} NATS servers did not get ready within {timeoutMs} ms: {reason}',
    hint: 'The servers log to {logFiles}',
  },
});
