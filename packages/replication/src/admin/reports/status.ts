/** Everything about a namespace at one look, with what needs one. Pure. */
import { formatDuration } from '@canopy/core';
import { type LeaderFollowerStatus, type SplitBrainReport, splitBrainReport } from '../../leader-follower/status.ts';
import type { MasterStatus, ReplicaStatus } from '../managed-replica.ts';
import type { RecoveryReport } from '../recovery-run.ts';
import { type LagRow, lagOf } from './lag.ts';

export interface NodeReport {
  readonly node: string;
  readonly instance: string;
  readonly status: ReplicaStatus;
  readonly recovery: RecoveryReport;
}

/** It answered that it can't say. */
export interface NodeFailure {
  readonly node: string;
  readonly code: string;
  readonly message: string;
}

export interface Finding {
  readonly code:
    | 'split_brain'
    | 'no_leader'
    | 'silent'
    | 'failed'
    | 'same_name'
    | 'stale'
    | 'lagging'
    | 'unsent'
    | 'conflict_storm'
    | 'conflicts_pending'
    | 'rejected_events'
    | 'strategies_differ'
    | 'recovery_failed';
  readonly node: string | undefined;
  /** For people: what is wrong, and what it means. */
  readonly message: string;
}

export interface ReplicationStatus {
  readonly namespace: string;
  readonly nodes: readonly NodeReport[];
  readonly failures: readonly NodeFailure[];
  /** Known of, and did not answer. */
  readonly silent: readonly string[];
  readonly splitBrain: SplitBrainReport;
  readonly lag: readonly LagRow[];
  /** Empty: nothing needs a look. */
  readonly findings: readonly Finding[];
}

/** More events behind, waiting or unsent than this need a look. */
export const LAG_EVENTS = 100;
/** More conflicts per applied event than this are a storm; of so many events at least, or the first conflict were one. */
export const STORM_RATE = 0.1;
export const STORM_EVENTS = 20;

export function statusReport(
  facts: Pick<ReplicationStatus, 'namespace' | 'nodes' | 'failures' | 'silent'>,
): ReplicationStatus {
  const following = facts.nodes.map(({ status }) => status).filter((one) => one.kind === 'leader-follower');
  const splitBrain = splitBrainReport(following);
  const lag = lagOf(facts.nodes);
  const findings = [
    ...leadership(following, splitBrain),
    ...presence(facts),
    ...lag.flatMap(lagging),
    ...facts.nodes.flatMap(({ node, status }) => (status.kind === 'master' ? ofMaster(node, status) : [])),
    ...strategies(facts.nodes),
    ...facts.nodes.flatMap(recoveries),
  ];
  return { ...facts, splitBrain, lag, findings };
}

function leadership(
  following: readonly LeaderFollowerStatus[],
  { splitBrain, winner, leaders }: SplitBrainReport,
): Finding[] {
  if (following.length > 0 && leaders.length === 0)
    return [
      { code: 'no_leader', node: undefined, message: 'nobody leads: writes are refused until a node is promoted' },
    ];
  if (!splitBrain) return [];
  const [first] = leaders;
  const others = leaders.slice(1).map(({ nodeId, epoch }) => `${nodeId} (epoch ${epoch})`);
  const message =
    first?.epoch === leaders[1]?.epoch
      ? `${leaders.map(({ nodeId }) => nodeId).join(' and ')} lead under one epoch, ${first?.epoch}: nothing tells whose writes count; demote one`
      : `${leaders.length} nodes lead: ${winner} wins by its epoch, ${first?.epoch}; ${others.join(', ')} should be demoted`;
  return [{ code: 'split_brain', node: winner, message }];
}

function presence({ nodes, failures, silent }: Pick<ReplicationStatus, 'nodes' | 'failures' | 'silent'>): Finding[] {
  const names = nodes.map(({ node, status }) => `${node} ${status.kind}`);
  const twice = new Set(names.filter((name, i) => names.indexOf(name) !== i).map((name) => name.replace(/ \S+$/, '')));
  return [
    ...silent.map((node) => finding('silent', node, 'others know of it, and it does not answer')),
    ...failures.map(({ node, message }) => finding('failed', node, message)),
    ...[...twice].map((node) => finding('same_name', node, 'two processes run under this name: stop one of them')),
    ...nodes.flatMap(({ node, status }) =>
      'lastError' in status && status.lastError !== undefined ? [finding('failed', node, status.lastError)] : [],
    ),
  ];
}

function lagging({ node, role, topic, behind, ageMs, isStale, unsent, leftMs }: LagRow): Finding[] {
  const where = topic === undefined ? '' : `topic ${topic}: `;
  const left = leftMs === undefined ? '' : `, ${formatDuration(leftMs)} left at its present rate`;
  const age = ageMs === undefined ? '' : `: it was up to date ${formatDuration(ageMs)} ago at the latest`;
  return [
    ...(isStale ? [finding('stale', node, `what this ${role} shows may be older than allowed${age}`)] : []),
    ...(behind !== undefined && behind > LAG_EVENTS
      ? [finding('lagging', node, `${where}${behind} events behind${left}`)]
      : []),
    ...(unsent !== undefined && unsent > LAG_EVENTS
      ? [finding('unsent', node, `${unsent} of its own events are not sent yet: others do not see them`)]
      : []),
  ];
}

function ofMaster(node: string, status: MasterStatus): Finding[] {
  const { conflictRate, eventsApplied, pendingConflicts, rejected, waiting } = status;
  const percent = `${(100 * conflictRate).toFixed(1)} %`;
  return [
    ...(isStorm(status)
      ? [
          finding(
            'conflict_storm',
            node,
            `${percent} of ${eventsApplied} applied events were conflicts: see the hot entities`,
          ),
        ]
      : []),
    ...(pendingConflicts > 0
      ? [finding('conflicts_pending', node, `${pendingConflicts} conflicts wait for somebody to decide`)]
      : []),
    ...(rejected > 0 && waiting > 0
      ? [
          finding(
            'rejected_events',
            node,
            `${rejected} events came from too far in the future and were held: compare the clocks`,
          ),
        ]
      : []),
    ...(waiting > LAG_EVENTS
      ? [finding('lagging', node, `${waiting} events of others wait here for earlier ones, or for their time`)]
      : []),
  ];
}

export function isStorm({
  conflictRate,
  eventsApplied,
}: Pick<MasterStatus, 'conflictRate' | 'eventsApplied'>): boolean {
  return conflictRate > STORM_RATE && eventsApplied >= STORM_EVENTS;
}

function strategies(nodes: readonly NodeReport[]): Finding[] {
  const used = new Map<string, string[]>();
  for (const { node, status } of nodes)
    if (status.kind === 'master') used.set(status.strategy, [...(used.get(status.strategy) ?? []), node]);
  if (used.size < 2) return [];
  const list = [...used].map(([strategy, who]) => `${strategy} on ${who.join(', ')}`).join('; ');
  const message = `masters settle conflicts differently and will not come to one state: ${list}`;
  return [{ code: 'strategies_differ', node: undefined, message }];
}

function recoveries({ node, recovery }: NodeReport): Finding[] {
  if (recovery.state !== 'failed') return [];
  return [finding('recovery_failed', node, `its last recovery failed: ${recovery.error?.message}`)];
}

function finding(code: Finding['code'], node: string, message: string): Finding {
  return { code, node, message };
}
