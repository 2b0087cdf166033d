/** A log that is there already, wherever it is kept. */
import type { ConnectionSpec, Env } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { SegmentLog } from '../log/segment-log.ts';
import type { StoreSpec } from '../process/protocol.ts';
import { DirectoryStore } from './directory-store.ts';

export interface LogPlace {
  readonly store: StoreSpec;
  /** Not used for a directory. */
  readonly connection: ConnectionSpec;
  /** Of the connection. */
  readonly name: string;
  readonly env: Env;
  readonly signal?: AbortSignal | undefined;
}

/** `close` ends what was opened for it. Throws BLOB_BUCKET_MISSING, NATS_UNREACHABLE. */
export async function openLog(place: LogPlace): Promise<{ readonly log: SegmentLog; close(): Promise<void> }> {
  const { store, connection, name, env, signal } = place;
  const { clock, log } = env;
  if (store.kind === 'directory') {
    const blobs = DirectoryStore.open({ path: store.path, env });
    return { log: new SegmentLog({ blobs, clock, log }), close: async () => blobs.close() };
  }
  const session = await connectNats(connection, { name, env, signal });
  try {
    const blobs = await session.blobs(store.bucket);
    return { log: new SegmentLog({ blobs, clock, log }), close: () => session.close() };
  } catch (error) {
    await session.close();
    throw error;
  }
}
