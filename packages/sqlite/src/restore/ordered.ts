/** Carries a restore order out: from a named snapshot, or from the log. */
import { type Env, formatPosition } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { SegmentLog } from '../log/segment-log.ts';
import { logBucket, openSnapshots } from '../process/opening.ts';
import type { DatabaseSpec } from '../process/protocol.ts';
import { SnapshotStore } from '../snapshots/snapshot-store.ts';
import { DirectoryStore } from '../store/directory-store.ts';
import type { RestoredFile } from './child.ts';
import type { RestoreTarget } from './plan.ts';
import type { RestoreOrder, RestoreReport } from './request.ts';
import { type Restored, restore } from './restore.ts';

export interface OrderedOptions {
  readonly env: Env;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RestoreReport) => void;
}

/** Throws as `restore`, SQLITE_SNAPSHOT_MISSING, SQLITE_POSITION_UNKNOWN, and what connecting throws. */
export async function restoreOrdered(
  spec: DatabaseSpec,
  order: RestoreOrder,
  options: OrderedOptions,
): Promise<RestoredFile> {
  const { dest, overwrite, check } = order;
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
  await requireHistory(log, order, signal);
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

function targetOf({ txid, timestamp }: RestoreOrder): RestoreTarget | undefined {
  if (txid !== undefined) return { txid };
  return timestamp === undefined ? undefined : { timestamp };
}

/** A transaction number alone may be another history's. */
async function requireHistory(log: SegmentLog, order: RestoreOrder, signal: AbortSignal): Promise<void> {
  const { txid, epoch } = order;
  if (txid === undefined || epoch === undefined || epoch === 0) return;
  const held = (await log.all({ signal })).find((entry) => entry.maxTxid === txid && Number(entry.epoch) > 0);
  if (held === undefined || Number(held.epoch) === epoch) return;
  const position = formatPosition({ epoch: held.epoch, txid });
  throw sqliteErrors.create('SQLITE_POSITION_UNKNOWN', { bucket: log.bucket, position, epoch: Number(held.epoch) });
}

function restoredFile(dest: string, { position, entry, pageSize, commit, bytes, ms }: Restored): RestoredFile {
  return { dest, position, timestamp: entry.timestamp, sizeBytes: pageSize * commit, bytes, ms };
}
