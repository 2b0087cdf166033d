export { AppliedWait } from './applied-wait.ts';
export { syncDurably } from './sync-durably.ts';
export { waitApplied } from './wait-applied.ts';
