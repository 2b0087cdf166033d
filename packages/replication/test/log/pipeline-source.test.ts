import { MemoryNats } from '@canopy/nats/memory';
import { describeSourceContract } from './pipeline-source.contract.ts';

describeSourceContract('memory', async () => {
  const hub = new MemoryNats();
  return { open: async () => hub.session(), close: async () => {} };
});
