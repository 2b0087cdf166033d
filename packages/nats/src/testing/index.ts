/** Contract suites (vitest) that every implementation of the NATS ports must pass. */
export { describeBlobsContract } from './blobs-contract.ts';
export { describeBusContract } from './bus-contract.ts';
export { describeKvContract } from './kv-contract.ts';
export { describeSessionContract } from './session-contract.ts';
export { describeStreamsContract } from './streams-contract.ts';
export type { ContractSystem } from './system.ts';
