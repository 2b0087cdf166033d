/** Carries a restore order out: from a named snapshot, or from the log. */
import type { Env } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { SegmentLog } from '../log/segment-log.ts';
import { logBucket, openSnapshots } from '../process/opening.ts';
import type { DatabaseSpec } from '../process/protocol.ts';
import { SnapshotStore } from '../snapshots/snapshot-store.ts';
import { DirectoryStore } from '../store/directory-store.ts';
import type { RestoredFile } from './child.ts';
import type { RestoreTarget } from './plan.ts';
import type { RestoreOrder, RestoreReport } from './request.ts';
import { type Restored, restore } from './restore.ts';
import { requireUnused } from './unused-file.ts';

export interface OrderedOptions {
  readonly env: Env;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RestoreReport) => void;
}

/**
 * Throws as `restore`, SQLITE_SNAPSHOT_MISSING, with `overwrite` SQLITE_IN_USE and SQLITE_DATABASE_BUSY where a program has the
 * file open, and what connecting throws.
 */
export async function restoreOrdered(
  spec: DatabaseSpec,
  order: RestoreOrder,
  options: OrderedOptions,
): Promise<RestoredFile> {
  const { dest, overwrite, check } = order;
  if (overwrite) await requireUnused(dest, options.env);
  const directory = spec.store?.kind === 'directory' ? spec.store.path : undefined;
  const { env, signal } = options;
  const name = `${spec.node}-restore-${spec.app}`;
  await using session = directory === undefined ? await connectNats(spec.connection, { name, env, signal }) : undefined;
  const given = { ...options, dest, overwrite, check };
  if (order.id !== undefined) {
    const blobs = await openSnapshots(session, spec, env);
    return restoredFile(dest, await new SnapshotStore({ blobs, env }).restore(order.id, given));
  }
  const log = await openForReading(session, spec, env, directory);
  return restoredFile(dest, await restore({ ...given, log, target: targetOf(order) }));
}

async function openForReading(
  session: NatsSession | undefined,
  spec: DatabaseSpec,
  env: Env,
  directory: string | undefined,
): Promise<SegmentLog> {
  const blobs =
    session === undefined ? DirectoryStore.open({ path: directory ?? '', env }) : await session.blobs(logBucket(spec));
  return new SegmentLog({ blobs, clock: env.clock });
}

function targetOf({ txid, epoch, timestamp }: RestoreOrder): RestoreTarget | undefined {
  if (txid !== undefined) return { txid, epoch };
  return timestamp === undefined ? undefined : { timestamp };
}

function restoredFile(dest: string, { position, entry, pageSize, commit, bytes, ms }: Restored): RestoredFile {
  return { dest, position, timestamp: entry.timestamp, sizeBytes: pageSize * commit, bytes, ms };
}
