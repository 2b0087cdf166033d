/** What the benchmarks reuse of the end-to-end programs. */
export { type NodeProcessInfo, nodeProcesses, type ProcessKind } from './crash/node-processes.ts';
export { ClusterView, type InstanceView } from './demo/cluster-view.ts';
export { type Fault, type FaultName, faults } from './demo/faults.ts';
export { type Round, runRound } from './demo/round.ts';
export { playCluster, Stage, type StageOptions } from './demo/stage.ts';
export { HttpClient, Load, readLedger } from './load/index.ts';
