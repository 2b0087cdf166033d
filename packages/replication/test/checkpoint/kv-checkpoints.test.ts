import { MemoryNats } from '@canopy/nats/memory';
import { describeKvCheckpoints } from './kv-checkpoints.ts';

const hub = new MemoryNats();
describeKvCheckpoints('KV in memory', async () => hub.session());
