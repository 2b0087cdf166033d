/** Puts other bytes in the place of a snapshot's, under a digest of their own: only the snapshot's own check can tell. */
import type { NatsSession } from '@canopy/nats';
import type { SnapshotSystem } from './snapshots.contract.ts';

export function damageBlob(session: NatsSession): SnapshotSystem['damage'] {
  return async (info, change) => {
    const blobs = await session.blobs('CANOPY_REPLICATION_snapshots');
    const names = (await blobs.list(`${info.namespace}/`)).map(({ name }) => name);
    const sequence = `-${String(info.sequence).padStart(16, '0')}-`;
    const name = names.find((each) => each.includes(sequence) && each.endsWith('.lines')) as string;
    const stored = await blobs.read(name);
    await blobs.put(name, Uint8Array.from(change(stored?.bytes as Uint8Array)));
  };
}
