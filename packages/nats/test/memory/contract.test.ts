import { MemoryNats } from '@canopy/nats/memory';
import {
  type ContractSystem,
  describeBlobsContract,
  describeBusContract,
  describeKvContract,
  describeSessionContract,
  describeStreamsContract,
} from '@canopy/nats/testing';

const memory = async (): Promise<ContractSystem> => {
  const hub = new MemoryNats();
  return { open: async () => hub.session(), close: async () => {} };
};

describeSessionContract('memory', memory);
describeKvContract('memory', memory);
describeBlobsContract('memory', memory);
describeBusContract('memory', memory);
describeStreamsContract('memory', memory);
