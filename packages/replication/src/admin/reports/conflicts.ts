/** Conflicts and hot entities of all masters as one list. Each master notices a conflict by itself, so counts are compared, never added. Pure. */
import type { HotSpot, MasterStatus, ReplicaConflict } from '../managed-replica.ts';
import { isStorm } from './status.ts';

export interface ReportedConflict extends ReplicaConflict {
  /** Which masters remember it, and which of them wait for a decision. */
  readonly on: readonly string[];
  readonly pendingOn: readonly string[];
}

export interface ConflictReport {
  readonly namespace: string;
  /** Those that wait first, then the latest; each as the master shows it that has most versions. */
  readonly conflicts: readonly ReportedConflict[];
  /** Masters that have more than they could send, by how many. */
  readonly more: Readonly<Record<string, number>>;
  readonly silent: readonly string[];
}

export interface HotReport {
  readonly namespace: string;
  readonly masters: readonly {
    readonly node: string;
    readonly conflicts: number;
    readonly eventsApplied: number;
    /** Conflicts per applied event since its start, 0 to 1. */
    readonly rate: number;
    readonly isStorm: boolean;
  }[];
  /** By the greatest count of any master. */
  readonly entities: readonly (HotSpot & { readonly node: string })[];
  readonly silent: readonly string[];
}

export function mergeConflicts(
  answers: readonly { readonly node: string; readonly conflicts: readonly ReplicaConflict[] }[],
): ReportedConflict[] {
  const merged = new Map<string, ReportedConflict>();
  for (const { node, conflicts } of answers)
    for (const conflict of conflicts) {
      const known = merged.get(conflict.entityId);
      const fuller = known === undefined || conflict.versions.length > known.versions.length ? conflict : known;
      merged.set(conflict.entityId, {
        ...fuller,
        pending: conflict.pending || known?.pending === true,
        on: [...(known?.on ?? []), node],
        pendingOn: [...(known?.pendingOn ?? []), ...(conflict.pending ? [node] : [])],
      });
    }
  return [...merged.values()].sort((a, b) => Number(b.pending) - Number(a.pending) || b.detectedAt - a.detectedAt);
}

export function mergeHot(
  answers: readonly { readonly node: string; readonly status: MasterStatus; readonly hot: readonly HotSpot[] }[],
  limit: number,
): Pick<HotReport, 'masters' | 'entities'> {
  const hottest = new Map<string, HotSpot & { readonly node: string }>();
  for (const { node, hot } of answers)
    for (const spot of hot)
      if (spot.conflicts > (hottest.get(spot.entityId)?.conflicts ?? 0)) hottest.set(spot.entityId, { ...spot, node });
  const entities = [...hottest.values()].sort(
    (a, b) => b.conflicts - a.conflicts || (a.entityId < b.entityId ? -1 : 1),
  );
  const masters = answers.map(({ node, status }) => ({
    node,
    conflicts: status.conflictsDetected,
    eventsApplied: status.eventsApplied,
    rate: status.conflictRate,
    isStorm: isStorm(status),
  }));
  return { masters, entities: entities.slice(0, limit) };
}
