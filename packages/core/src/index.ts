/** Canopy's core: values, errors, lifecycle, time, chance, and the ports that packages meet at. */
export { CanopyError, type CanopyErrorInit, type ErrorFields, hasCode, messageOf } from './errors/canopy-error.ts';
export { type Catalogue, defineErrors, type ErrorSpec, type ErrorTable } from './errors/catalogue.ts';
export { assert, coreErrors } from './errors/errors.ts';
export { Broadcast, type WatchOptions } from './lifecycle/broadcast.ts';
export { Lifecycle, type LifecycleState, type StartOptions } from './lifecycle/lifecycle.ts';
export { TaskGroup } from './lifecycle/task-group.ts';
export type { Env } from './observe/env.ts';
export { createLogger, type LogFields, type Logger, type LogLevel, silentLogger } from './observe/log.ts';
export {
  type Counter,
  type Gauge,
  type Histogram,
  type HistogramSpec,
  type Labels,
  type MetricSpec,
  type Metrics,
  noMetrics,
} from './observe/metrics.ts';
export { noTracer, type Span, type Tracer } from './observe/trace.ts';
export { nearest } from './options/nearest.ts';
export {
  type FieldRule,
  type OptionReader,
  optionsInvalid,
  resolveOptions,
  type Violation,
} from './options/resolve-options.ts';
export type {
  Backend,
  BackendContext,
  BackendEvent,
  BackendProvider,
  BackendState,
  BackendStatus,
} from './ports/backend.ts';
export { type GuardedKind, type GuardedProcess, noGuard, type ProcessGuard } from './ports/process-guard.ts';
export type {
  AdminRequest,
  BootstrapProgress,
  DatabaseContext,
  DatabaseEvent,
  DatabaseLag,
  DatabaseProvider,
  DatabaseRole,
  DatabaseStatus,
  DatabaseWarning,
  Durability,
  Promotable,
  PromoteOptions,
  SyncOptions,
} from './ports/promotable.ts';
export { pick, type Random } from './random/random.ts';
export { seededRandom } from './random/seeded.ts';
export { systemClock } from './system/clock.ts';
export { systemEnv } from './system/env.ts';
export { inheritedEnvironment } from './system/inherited-environment.ts';
export { makeDirectory } from './system/make-directory.ts';
export {
  groupOf,
  isGroupGone,
  markOf,
  PROCESS_MARK,
  processesWithMark,
  signalGroup,
  signalProcess,
} from './system/process-groups.ts';
export { identifyProcess, isRunning, type ProcessId } from './system/processes.ts';
export { systemRandom } from './system/random.ts';
export { type BackoffOptions, backoffMs } from './time/backoff.ts';
export type { Clock, Timer } from './time/clock.ts';
export { abortable, withDeadline } from './time/deadline.ts';
export { sleepWith } from './time/sleep.ts';
export { type ConnectionSpec, describeConnection } from './values/connection-spec.ts';
export { type Duration, formatDuration, parseDuration } from './values/duration.ts';
export { type Epoch, epoch, NO_EPOCH } from './values/epoch.ts';
export { checkName, type NameKind, nameProblem } from './values/names.ts';
export {
  comparePositions,
  formatPosition,
  formatTxid,
  type Position,
  parsePosition,
  parseTxid,
  START,
} from './values/position.ts';
