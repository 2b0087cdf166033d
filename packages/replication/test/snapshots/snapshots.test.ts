import { MemoryNats } from '@canopy/nats/memory';
import { blobSnapshots, MemorySnapshots } from '@canopy/replication';
import { damageBlob } from './damage.ts';
import { describeSnapshotsContract, type SnapshotSystem } from './snapshots.contract.ts';

const memory = async (): Promise<SnapshotSystem> => {
  const store = new MemorySnapshots();
  return { store, damage: async (info, change) => store.damage(info, change), close: async () => {} };
};

const onTwin = async (): Promise<SnapshotSystem> => {
  const session = new MemoryNats().session();
  return { store: await blobSnapshots(session), damage: damageBlob(session), close: () => session.close() };
};

describeSnapshotsContract('memory', memory);
describeSnapshotsContract('objects in memory', onTwin);
