/** One text for equal states: what masters compare to find out that they have converged, or not. */
import { createHash } from 'node:crypto';
import type { Entity } from '../ports/state-store.ts';
import { canonicalText } from '../values/canonical.ts';
import { compareVersions, type EntityRecord, isTombstone } from './entity-record.ts';
import { leavesPending, type Policy } from './policy.ts';

export interface HashedEntity {
  readonly id: string;
  readonly record: EntityRecord;
  readonly shown: Entity | undefined;
}

/**
 * Of one entity, or undefined when it is deleted. Where a conflict waits for somebody's decision the versions count, not which of
 * them shows here; and only what merged, or was written, counts elsewhere.
 */
export function entityText({ id, record, shown }: HashedEntity, policy: Policy): string | undefined {
  // All say the same: it is gone. Masters forget such records at different times.
  if (isTombstone(record)) return undefined;
  if (record.versions.length > 1 && leavesPending(policy)) {
    const versions = [...record.versions]
      .sort(compareVersions)
      .map(({ author, number, data }) => [author, number, data]);
    return canonicalText([id, versions]);
  }
  if (shown === undefined) return undefined;
  return canonicalText([id, shown.$type, shown.data, shown.updatedAt]);
}

/** SHA-256 of all, in the order of their texts; hex. */
export function hashEntities(entities: Iterable<HashedEntity>, policy: Policy): string {
  const texts: string[] = [];
  for (const entity of entities) {
    const text = entityText(entity, policy);
    if (text !== undefined) texts.push(text);
  }
  const hash = createHash('sha256');
  for (const text of texts.sort()) hash.update(text).update('\n');
  return hash.digest('hex');
}
