/** What has to be there before a database can be worked with: a directory of ours beside the file, and the log's bucket. */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { type Env, makeDirectory } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { SegmentLog } from '../log/segment-log.ts';
import type { DatabaseSpec } from './protocol.ts';
import { wrapFileError } from './system-errors.ts';

/** Copies of the log that survive the loss of one server while the others go on. */
const REPLICAS_WANTED = 3;

/** Throws SQLITE_UNWRITABLE or SQLITE_DISK_FULL. */
export function prepareDirectory(path: string, directory: string): void {
  try {
    makeDirectory(directory);
    accessSync(dirname(path), constants.W_OK);
    accessSync(directory, constants.W_OK);
  } catch (error) {
    // "No such file" of a directory that is being made: the file system does not take one there (procfs).
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw sqliteErrors.create('SQLITE_UNWRITABLE', { path, reason: (error as Error).message }, error);
    throw wrapFileError(error, path);
  }
}

/** The log's bucket is made only on a node that has never seen it: BLOB_BUCKET_MISSING elsewhere. */
export async function openLog(
  session: NatsSession,
  spec: DatabaseSpec,
  env: Env,
  mayMake: boolean,
  signal: AbortSignal | undefined,
): Promise<{ readonly log: SegmentLog; readonly warning: string | undefined }> {
  const bucket = `${spec.platform}_${spec.app}_wal`;
  const { replicas } = spec.options;
  const wanted = replicas === undefined ? {} : { replicas };
  const blobs = mayMake ? await session.ensureBlobs(bucket, wanted) : await session.blobs(bucket);
  const info = await blobs.bucketInfo({ signal });
  const warning =
    info.replicas < REPLICAS_WANTED
      ? `bucket ${bucket} keeps ${info.replicas} of ${REPLICAS_WANTED} copies: the log is lost with its NATS server`
      : undefined;
  return { log: new SegmentLog({ blobs, clock: env.clock, log: env.log }), warning };
}
