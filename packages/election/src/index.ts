/** Leases with epochs: acquire, renew, hand off, release; leadership as a signal. */
export type {
  ElectionEvent,
  ElectionReason,
  ElectionState,
  ElectionStatus,
  Leadership,
  LeaseWatchdog,
} from './api.ts';
export type { ElectionStopOptions, StepDownOptions, WaitOptions } from './call-options.ts';
export {
  controlErrors,
  controlSubject,
  ElectionResponder,
  type ElectionResponderOptions,
  type GroupChange,
  type GroupLease,
  groupLeaseOf,
  type RequestStepDownOptions,
  readGroups,
  requestStepDown,
  type SteppedDown,
  watchGroups,
} from './control/index.ts';
export { Election } from './election.ts';
export { electionErrors } from './errors.ts';
export { FencedFile } from './fencing/fenced-file.ts';
export { FencedKey } from './fencing/fenced-key.ts';
export type { FencedValue } from './fencing/fenced-value.ts';
export { EpochGuard, type GuardOptions, guard } from './fencing/guard.ts';
export type { HealthCheck, HealthChecker } from './health.ts';
export type { DemoteHook, Demotion, HookOptions, PromoteHook } from './hooks.ts';
export { decodeLease, encodeLease, epochOf, type LeaseValue } from './lease/lease-value.ts';
export { type ElectionOptions, type FailsafeChoice, marginOf } from './options.ts';
export { CircuitBreaker, type CircuitBreakerOptions, type CircuitState } from './retry/circuit-breaker.ts';
export { type FailureKind, failureKind, isPermanent, isTransient } from './retry/failure-kind.ts';
export { type RetryOptions, retry } from './retry/retry.ts';
export { RoleManager, type RoleManagerOptions, type RoleOptions } from './roles/role-manager.ts';
export { Warden, type WardenEvent, WardenLease, type WardenOptions, wardenErrors } from './warden/index.ts';
export type { Fence, WardenChoice } from './warden-option.ts';
