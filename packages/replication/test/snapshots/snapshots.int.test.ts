import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { blobSnapshots } from '@canopy/replication';
import { testNatsServer } from '@canopy/testkit';
import { damageBlob } from './damage.ts';
import { describeSnapshotsContract, type SnapshotSystem } from './snapshots.contract.ts';

const real = async (): Promise<SnapshotSystem> => {
  const nats = await testNatsServer();
  const session = await connectNats(nats.connection, { name: 'snapshots', env: systemEnv() });
  return {
    store: await blobSnapshots(session),
    damage: damageBlob(session),
    close: async () => {
      await session.close();
      await nats[Symbol.asyncDispose]();
    },
  };
};

describeSnapshotsContract('nats-server', real);
