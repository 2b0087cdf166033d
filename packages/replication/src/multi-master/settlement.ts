/** One version meets one entity: what the record becomes, what shows, and whether it was a conflict. Pure. */
import type { Entity } from '../ports/state-store.ts';
import type { ConflictRecord } from './conflict-book.ts';
import { admit, type EntityRecord, latestVersion, type Version } from './entity-record.ts';
import { entityOf, keepsRivals, leavesPending, mergesByItself, type Policy, show } from './policy.ts';

export interface Settlement {
  readonly record: EntityRecord;
  /** Undefined: deleted. */
  readonly shown: Entity | undefined;
  /** Versions that had not seen each other met, and not all of it merges by itself. */
  readonly conflict: Omit<ConflictRecord, 'detectedAt'> | undefined;
  /** Somebody has to decide. */
  readonly pending: boolean;
  /** The event was known: nothing changes. */
  readonly known: boolean;
  /** The user's merge function threw; the last writer's version shows. */
  readonly mergeError: Error | undefined;
}

export interface SettleOptions {
  /**
   * What the store shows. Where it is one version, `mergeFn` is called with it and the newcomer: what is local comes first. Else with all versions,
   * in order of time: of what was merged before, a part may have been replaced since.
   */
  readonly current?: Entity | undefined;
}

export function settle(
  id: string,
  before: EntityRecord | undefined,
  added: Version,
  policy: Policy,
  { current }: SettleOptions = {},
): Settlement {
  const keep = keepsRivals(policy, [...(before?.versions ?? []), added]);
  const { record, rivals, known } = admit(before, added, keep);
  const all = [...rivals, added];
  const conflict = rivals.length > 0 && !mergesByItself(all, policy) ? conflictOf(id, all) : undefined;
  const pending = leavesPending(policy) && conflict !== undefined;
  const rest = { record, conflict, pending, known };
  try {
    const incoming = entityOf(id, added);
    const { strategy, mergeFn } = policy;
    if (
      strategy === 'custom' &&
      mergeFn !== undefined &&
      rivals.length > 0 &&
      before?.versions.length === 1 &&
      current !== undefined &&
      incoming !== undefined
    )
      return { ...rest, shown: mergeFn(current, incoming), mergeError: undefined };
    return { ...rest, shown: show(id, record, policy), mergeError: undefined };
  } catch (error) {
    return { ...rest, shown: entityOf(id, latestVersion(record.versions)), mergeError: error as Error };
  }
}

export function conflictOf(id: string, versions: readonly Version[]): Omit<ConflictRecord, 'detectedAt'> {
  return {
    entityId: id,
    versions: versions.map(({ author, data, clock, wallMs }) => ({
      masterId: author,
      data,
      vectorClock: { ...clock },
      timestamp: wallMs,
    })),
    resolutionOptions: ['keep-local', 'keep-remote', 'lww', 'merge'],
  };
}
