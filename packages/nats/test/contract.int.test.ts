import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import {
  type ContractSystem,
  describeBlobsContract,
  describeBusContract,
  describeKvContract,
  describeSessionContract,
  describeStreamsContract,
} from '@canopy/nats/testing';
import { testNatsServer } from '@canopy/testkit';

const real = async (): Promise<ContractSystem> => {
  const nats = await testNatsServer();
  let opened = 0;
  return {
    open: () => connectNats(nats.connection, { name: `contract-${++opened}`, env: systemEnv() }),
    close: async () => nats[Symbol.asyncDispose](),
  };
};

describeSessionContract('nats-server', real);
describeKvContract('nats-server', real);
describeBlobsContract('nats-server', real);
describeBusContract('nats-server', real);
describeStreamsContract('nats-server', real);
