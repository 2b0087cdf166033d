/** What has to be there before a database can be worked with: a directory of ours beside the file, and the log's bucket. */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { assert, type Env, makeDirectory } from '@canopy/core';
import type { Blobs, NatsSession } from '@canopy/nats';
import { finishInterrupted, listDivergences } from '../divergence/keep.ts';
import { sqliteErrors } from '../errors.ts';
import { type BucketFinding, checkBucket } from '../levels/bucket-check.ts';
import { firstCopyAt, SNAPSHOT_LEVEL } from '../log/names.ts';
import { SegmentLog } from '../log/segment-log.ts';
import { snapshotBucket } from '../snapshots/snapshot.ts';
import { DirectoryStore } from '../store/directory-store.ts';
import { DatabaseLock } from './database-lock.ts';
import { readHeaderOf } from './local-file.ts';
import type { DatabaseSpec } from './protocol.ts';
import { readState } from './state-file.ts';
import { wrapFileError } from './system-errors.ts';

/** How long a predecessor that is just ending may keep the lock. */
const LOCK_WAIT_MS = 5000;

/** Not the name of any object of a log. */
const NO_OBJECT = 'canopy/nothing';

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

interface OpenedLog {
  readonly log: SegmentLog;
  readonly findings: readonly BucketFinding[];
}

/** The bucket of the log behind the database's connection. */
export function logBucket({ platform, app, store }: Pick<DatabaseSpec, 'platform' | 'app' | 'store'>): string {
  return store?.kind === 'nats' ? store.bucket : `${platform}_${app}_wal`;
}

/** Where named snapshots are: beside the log, made when missing. */
export async function openSnapshots(session: NatsSession | undefined, spec: DatabaseSpec, env: Env): Promise<Blobs> {
  const { platform, app, store, options } = spec;
  if (store?.kind === 'directory') return DirectoryStore.open({ path: `${store.path}-snapshots`, env, make: {} });
  assert(session !== undefined, 'a log in NATS has a session');
  const bucket = store === undefined ? snapshotBucket(platform, app) : `${store.bucket}_snapshots`;
  return session.ensureBlobs(bucket, options.replicas === undefined ? {} : { replicas: options.replicas });
}

/** The log's bucket is made only on a node that has never seen it: BLOB_BUCKET_MISSING elsewhere. */
async function openBucket(
  session: NatsSession,
  spec: DatabaseSpec,
  env: Env,
  mayMake: boolean,
  signal: AbortSignal | undefined,
): Promise<OpenedLog> {
  const bucket = logBucket(spec);
  const { replicas } = spec.options;
  const wanted = replicas === undefined ? {} : { replicas };
  const blobs = mayMake ? await session.ensureBlobs(bucket, wanted) : await session.blobs(bucket);
  keepKnown(blobs);
  const info = await blobs.bucketInfo({ signal });
  const log = new SegmentLog({ ...env, blobs, createdAt: info.createdAt });
  return { log, findings: checkBucket(info) };
}

/**
 * Watches share what is known of a bucket, and forget it with the last of them: a change of role would begin by asking for
 * the whole log again. One that asks for nothing keeps it until the session closes; where it breaks off, the next begins anew.
 */
function keepKnown(blobs: Blobs): void {
  const hear = async (): Promise<void> => {
    for await (const _ of blobs.watch(NO_OBJECT));
  };
  hear().catch(() => {});
}

function openDirectory({ store }: DatabaseSpec, env: Env, mayMake: boolean): OpenedLog {
  assert(store?.kind === 'directory', 'a log without NATS is in a directory');
  const blobs = DirectoryStore.open({ path: store.path, env, make: mayMake ? {} : undefined });
  return { log: new SegmentLog({ ...env, blobs }), findings: [] };
}

export interface OpenedDatabase {
  readonly lock: DatabaseLock;
  /** Undefined where the log is in a directory. */
  readonly session: NatsSession | undefined;
  readonly log: SegmentLog;
  readonly divergences: readonly string[];
  readonly lastSnapshotAt: number | undefined;
  readonly firstCopyAt: number | undefined;
  /** What is not right with the log's bucket. */
  readonly findings: readonly BucketFinding[];
  /** Opens the bucket of named snapshots, made when missing. */
  snapshots(): Promise<Blobs>;
}

export interface OpeningDeps {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly pid: number;
  readonly directory: string;
  readonly statePath: string;
  connect(signal?: AbortSignal): Promise<NatsSession>;
  /** Throws SQLITE_IN_USE where this very process has the file open under another name: see same-file.ts. */
  requireAlone?(): void;
}

/** Everything but the file itself. On failure nothing stays open. Throws also SQLITE_IN_USE, SQLITE_NOT_A_DATABASE. */
export async function openDatabase(deps: OpeningDeps, signal: AbortSignal | undefined): Promise<OpenedDatabase> {
  const { spec, env, pid, directory, statePath } = deps;
  prepareDirectory(spec.path, directory);
  const holder = { path: spec.path, directory, node: spec.node, pid, clock: env.clock, signal };
  const lock = await DatabaseLock.acquire({ ...holder, timeoutMs: LOCK_WAIT_MS });
  let session: NatsSession | undefined;
  try {
    deps.requireAlone?.();
    readHeaderOf(spec.path);
    await finishInterrupted(spec.path, directory);
    const divergences = listDivergences(spec.path);
    // A node that has replicated before must find its log: making an empty one would hide that it was lost.
    const mayMake = spec.mustExist !== true && readState(statePath) === undefined;
    if (spec.store?.kind !== 'directory') session = await deps.connect(signal);
    const { log, findings } =
      session === undefined ? openDirectory(spec, env, mayMake) : await openBucket(session, spec, env, mayMake, signal);
    const entries = await log.all({ signal });
    const lastSnapshotAt = entries.filter(({ level }) => level === SNAPSHOT_LEVEL).at(-1)?.storedAt;
    const opened = session;
    const snapshots = (): Promise<Blobs> => openSnapshots(opened, spec, env);
    return { lock, session, log, divergences, lastSnapshotAt, firstCopyAt: firstCopyAt(entries), findings, snapshots };
  } catch (error) {
    await session?.close();
    lock.release();
    throw error;
  }
}
