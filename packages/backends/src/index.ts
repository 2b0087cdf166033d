/** What runs an app while its node is active: an operating-system process under supervision. */
export { backendErrors } from './errors.ts';
export {
  BACKEND_HEALTH,
  BACKEND_OUTPUT_DROPPED,
  BACKEND_RESTARTS,
  BACKEND_START_DURATION,
  BACKEND_STATE,
} from './metrics.ts';
export type { ProcessBackend, ProcessStats } from './process/backend.ts';
export { findProgram } from './process/command-lookup.ts';
export { endForCertain, type Prey } from './process/ending.ts';
export { type LaunchSpec, launchAttached } from './process/launcher.ts';
export type {
  ProcessBackendOptions,
  ProcessHealthOptions,
  ProcessLogOptions,
  ProcessRestartOptions,
} from './process/options.ts';
export type { OutputLine } from './process/output.ts';
export { type ProcessBackendProvider, processBackend } from './process/provider.ts';
export type { RestartMode } from './process/restart-policy.ts';
