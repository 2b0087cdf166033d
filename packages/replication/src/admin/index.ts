/** Operations: a running manager answers questions, and whoever operates it asks them. */

export type { ManagedMaster } from './adapters/master.ts';
export {
  type CallOptions,
  type ClockComparisonReport,
  type Decision,
  ReplicationAdmin,
  type ReplicationAdminOptions,
  type Resolved,
} from './admin.ts';
export type { ManagedReplica, MasterStatus, ReplicaConflict, ReplicaStatus } from './managed-replica.ts';
export type { RecoverOptions } from './recover.ts';
export type { RecoveryMode, RecoveryReport } from './recovery-run.ts';
export type { ClockFinding, ClockRow } from './reports/clocks.ts';
export type { ConflictReport, HotReport, ReportedConflict } from './reports/conflicts.ts';
export type { LagRow } from './reports/lag.ts';
export type { Finding, NodeReport, ReplicationStatus } from './reports/status.ts';
export {
  type ManagerToServe,
  type ReplicationResponder,
  type ServeReplicationOptions,
  serveReplication,
} from './responder.ts';
