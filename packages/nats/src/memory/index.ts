/** The in-memory twin of a NATS system, for simulation and tests. */
export { type MemoryCall, type MemoryFault, MemoryNats, type MemoryNatsOptions } from './hub.ts';
export { MemorySession } from './session.ts';
