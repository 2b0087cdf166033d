/** The warden: what ends a process's backends and releases its leases when the process itself can't. */
export { wardenErrors } from './errors.ts';
export { WARDEN_FENCES, WARDEN_RESTARTS } from './metrics.ts';
export { Warden, type WardenEvent, type WardenOptions } from './warden.ts';
export { WardenLease } from './warden-lease.ts';
