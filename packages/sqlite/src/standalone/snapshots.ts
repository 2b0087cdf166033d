/**
 * Named snapshots for people who have an address of a log: in a place of their own beside it, `{bucket}_snapshots` or
 * `{directory}-snapshots`, where no retention comes. Made from the log alone, whoever writes it and wherever.
 */
import { type Env, hasCode, systemEnv } from '@canopy/core';
import { type Blobs, connectNats, type NatsSession } from '@canopy/nats';
import { SegmentLog } from '../log/segment-log.ts';
import type { StoreSpec } from '../process/protocol.ts';
import { SnapshotStore } from '../snapshots/snapshot-store.ts';
import { DirectoryStore } from '../store/directory-store.ts';
import { parseStore, type StoreOption } from './store-option.ts';

export interface OpenedSnapshots {
  /** What snapshots are made from: `snapshots.create({ log, … })`. */
  readonly log: SegmentLog;
  /** Undefined: none was ever made. */
  readonly snapshots: SnapshotStore | undefined;
  /** Ends what was opened. Idempotent. */
  close(): Promise<void>;
}

export interface OpenSnapshotsOptions {
  /** Where the log is. */
  readonly store: StoreOption;
  /** Make the place of the snapshots where there is none; then `snapshots` is there. Default false. */
  readonly make?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly env?: Env | undefined;
}

/** Throws BLOB_BUCKET_MISSING where there is no log, SQLITE_STORE_INVALID, NATS_*. */
export async function openSnapshots(options: OpenSnapshotsOptions): Promise<OpenedSnapshots> {
  const { make = false, env = systemEnv(), signal } = options;
  const { store, connection } = parseStore(options.store);
  const session = store.kind === 'nats' ? await connectNats(connection, { name: 'canopy-db', env, signal }) : undefined;
  const opened: Blobs[] = [];
  const close = async (): Promise<void> => {
    for (const blobs of opened.splice(0)) if (blobs instanceof DirectoryStore) blobs.close();
    await session?.close();
  };
  try {
    const blobs = await openPlace(session, store, env, false);
    opened.push(blobs);
    const beside = await openPlace(session, besides(store), env, make).catch((error: unknown) => {
      if (hasCode(error, 'BLOB_BUCKET_MISSING')) return undefined;
      throw error;
    });
    if (beside !== undefined) opened.push(beside);
    const snapshots = beside && new SnapshotStore({ blobs: beside, env });
    return { log: new SegmentLog({ blobs, clock: env.clock, log: env.log }), snapshots, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function besides(store: StoreSpec): StoreSpec {
  if (store.kind === 'nats') return { ...store, bucket: `${store.bucket}_snapshots` };
  return { ...store, path: `${store.path}-snapshots` };
}

async function openPlace(session: NatsSession | undefined, store: StoreSpec, env: Env, make: boolean): Promise<Blobs> {
  if (store.kind === 'directory') return DirectoryStore.open({ path: store.path, env, make: make ? {} : undefined });
  const nats = session as NatsSession;
  return make ? nats.ensureBlobs(store.bucket, {}) : nats.blobs(store.bucket);
}
