/** `canopy replication status|lag`: who takes part, in which role, and how far behind. Exit code 1 when something needs a look. */
import type { Finding, LagRow, MasterStatus, NodeReport, ReplicationStatus } from '@canopy/replication';
import type { Printer } from '../output/printer.ts';
import { type Cell, renderTable } from '../output/table.ts';
import { durationText, findingLines, look, type NamespaceOptions, rateText } from './asking.ts';
import { progressText } from './recover.ts';

export interface LookOptions extends NamespaceOptions {
  readonly watch?: number | undefined;
}

export function replicationStatus(options: LookOptions, printer: Printer): Promise<number> {
  return look(options, printer, async (admin) => {
    const status = await admin.status();
    return { data: status, text: () => statusText(status), isWell: status.findings.length === 0 };
  });
}

/** What concerns being behind; the rest is for status to tell. */
const OF_LAG: ReadonlySet<Finding['code']> = new Set(['silent', 'failed', 'stale', 'lagging', 'unsent']);

export function replicationLag(options: LookOptions, printer: Printer): Promise<number> {
  return look(options, printer, async (admin) => {
    const status = await admin.status();
    const findings = status.findings.filter(({ code }) => OF_LAG.has(code));
    const { namespace, lag, silent } = status;
    const data = { namespace, lag, silent, findings };
    return { data, text: () => lagText(lag, findings), isWell: findings.length === 0 };
  });
}

export function statusText(status: ReplicationStatus): string {
  const { nodes, lag, findings } = status;
  const kinds = (kind: NodeReport['status']['kind']) => nodes.filter((node) => node.status.kind === kind);
  const [following, masters] = [kinds('leader-follower'), kinds('master')];
  const rows = (role: LagRow['role'][]) => lag.filter((row) => role.includes(row.role));
  const sections = [
    following.length === 0 ? undefined : followingTable(following, rows(['leader', 'follower'])),
    masters.length === 0 ? undefined : masterTable(masters, rows(['master'])),
    kinds('subscriber').length === 0 ? undefined : subscriberTable(rows(['subscriber'])),
  ];
  const tables = sections.filter((section) => section !== undefined).flatMap((section) => ['', section]);
  return [heading(status), ...tables, ...findingLines(findings)].join('\n');
}

function heading({ namespace, nodes, splitBrain }: ReplicationStatus): string {
  const count = `${nodes.length} node${nodes.length === 1 ? ' answers' : 's answer'}`;
  const [first] = splitBrain.leaders;
  const leads = first === undefined ? '' : `, ${first.nodeId} leads under epoch ${first.epoch}`;
  return `namespace ${namespace}: ${count}${splitBrain.splitBrain ? ', SPLIT BRAIN' : leads}`;
}

function followingTable(nodes: readonly NodeReport[], lag: readonly LagRow[]): string {
  const rows = nodes.map((report, i): Cell[] => {
    const { status, node } = report;
    if (status.kind !== 'leader-follower') return [node];
    const { role, epoch, appliedSequence, leaderId } = status;
    const row = lag[i];
    const follows = role === 'leader' ? undefined : leaderId;
    return [node, role, epoch, follows, appliedSequence, row?.behind, durationText(row?.ageMs), stateOf(report, row)];
  });
  return renderTable(['NODE', 'ROLE', 'EPOCH', 'FOLLOWS', 'APPLIED', 'BEHIND', 'UP TO DATE', 'STATE'], rows);
}

function stateOf({ status, recovery }: NodeReport, row: LagRow | undefined): string {
  const progress = status.kind === 'leader-follower' ? status.recovery : recovery.progress;
  const states = [
    ...(row?.isStale ? ['stale'] : []),
    ...(recovery.state === 'running' ? [`${recovery.mode}`] : []),
    ...(progress !== undefined && progress.phase !== 'none' ? [progressText(progress)] : []),
  ];
  return states.length === 0 ? 'ok' : states.join(', ');
}

function masterTable(nodes: readonly NodeReport[], lag: readonly LagRow[]): string {
  const rows = nodes.map(({ node, status }, i): Cell[] => {
    const { strategy, waiting, unsent, conflictsDetected, conflictRate, pendingConflicts } = status as MasterStatus;
    const { position, behind } = lag[i] ?? {};
    const percent = `${(100 * conflictRate).toFixed(1)}%`;
    return [node, strategy, position, behind, waiting, unsent, conflictsDetected, percent, pendingConflicts];
  });
  const header = ['MASTER', 'STRATEGY', 'EVENTS', 'BEHIND', 'WAITING', 'UNSENT', 'CONFLICTS', 'RATE', 'UNDECIDED'];
  return renderTable(header, rows);
}

function subscriberTable(lag: readonly LagRow[]): string {
  return renderTable(
    ['SUBSCRIBER', 'TOPIC', 'NEXT', 'BEHIND', 'RATE', 'TIME LEFT'],
    lag.map(({ node, topic, position, behind, perSecond, leftMs }) => {
      return [node, topic, position, behind, rateText(perSecond), durationText(leftMs)];
    }),
  );
}

export function lagText(lag: readonly LagRow[], findings: readonly Finding[]): string {
  const rows = lag.map(({ node, role, topic, position, behind, ageMs, perSecond, leftMs }) => {
    const ago = ageMs === undefined ? undefined : `${durationText(ageMs)} ago`;
    return [node, role, topic, position, behind, ago, rateText(perSecond), durationText(leftMs)];
  });
  const header = ['NODE', 'ROLE', 'TOPIC', 'POSITION', 'BEHIND', 'UP TO DATE', 'RATE', 'TIME LEFT'];
  return [renderTable(header, rows), ...findingLines(findings)].join('\n');
}
