/**
 * Settings of the log's bucket that lose data or will stop the log, in plain words. Pure. What loses data without anybody
 * having asked for it is a problem, the rest are warnings.
 */
import { type DatabaseWarning, formatDuration } from '@canopy/core';
import type { BlobBucketInfo } from '@canopy/nats';

/** Copies of the log that survive the loss of one server while the others go on. */
const REPLICAS_WANTED = 3;
const NEARLY_FULL = 0.8;

export interface BucketFinding extends DatabaseWarning {
  /** It belongs into the status as a problem. */
  readonly isProblem: boolean;
}

/** Of a directory there is nothing to be set but how large it may become. */
export function checkDirectory({ bucket, bytes, maxBytes }: BlobBucketInfo): BucketFinding[] {
  const use = bytes / (maxBytes ?? Number.POSITIVE_INFINITY);
  if (use < NEARLY_FULL) return [];
  return [
    {
      code: 'LOG_NEARLY_FULL',
      message: `the store ${bucket} is ${Math.floor(use * 100)} % full`,
      hint: 'Shorten retention. When it is full, commits stay on this node until there is room.',
      isProblem: false,
    },
  ];
}

/** What is wrong with a bucket that holds a log; worst first, empty when nothing is. */
export function checkBucket(info: BlobBucketInfo): BucketFinding[] {
  const { bucket, replicas, maxBytes, maxAgeMs, maxMessages, messages = 0, clusterSize = 1 } = info;
  const findings: BucketFinding[] = [];
  const stream = `OBJ_${bucket}`;
  if (maxAgeMs !== undefined)
    findings.push({
      code: 'LOG_EXPIRES',
      message: `bucket ${bucket} drops objects after ${formatDuration(maxAgeMs)}: a quiet database loses its only snapshot`,
      hint: `nats stream edit ${stream} --max-age=0; old history is removed by the retention option.`,
      isProblem: true,
    });
  if (info.discard === 'old' && (maxBytes !== undefined || maxMessages !== undefined))
    findings.push({
      code: 'LOG_DISCARDS_OLD',
      message: `bucket ${bucket} drops its oldest objects when it is full: the history gets holes`,
      hint: `nats stream edit ${stream} --discard=new; a full bucket then refuses writes and says so.`,
      isProblem: true,
    });
  const use = Math.max(
    info.bytes / (maxBytes ?? Number.POSITIVE_INFINITY),
    messages / (maxMessages ?? Number.POSITIVE_INFINITY),
  );
  if (use >= NEARLY_FULL)
    findings.push({
      code: 'LOG_NEARLY_FULL',
      message: `bucket ${bucket} is ${Math.floor(use * 100)} % full`,
      hint: `nats stream edit ${stream} --max-bytes=…, or shorten retention. When it is full, commits stay on this node until there is room.`,
      isProblem: false,
    });
  if (replicas < REPLICAS_WANTED)
    findings.push({
      code: 'LOG_NOT_REPLICATED',
      message: `bucket ${bucket} keeps ${replicas} of ${REPLICAS_WANTED} copies: the log is lost with its NATS server`,
      hint:
        clusterSize >= REPLICAS_WANTED
          ? `nats stream edit ${stream} --replicas=${REPLICAS_WANTED}`
          : 'Run NATS as a cluster of three servers, then raise the replicas of the stream.',
      isProblem: false,
    });
  return findings;
}
