/**
 * What a master knows of one entity: the versions that no other version replaced, and the numbers of all events that
 * made it so. Joining is commutative, associative and idempotent, so records of two masters that have seen the same events are equal,
 * whatever the order; a delete is a version like any other (a tombstone).
 */
import { compareStamped } from '../values/stamp.ts';
import type { Change, ClockRecord } from './event.ts';

export interface Version {
  readonly author: string;
  readonly number: number;
  /** What its author had seen, itself included. */
  readonly clock: ClockRecord;
  readonly wallMs: number;
  readonly counter: number;
  readonly type: string;
  /** `$version`. */
  readonly version: number;
  /** Null: deleted. */
  readonly data: Record<string, unknown> | null;
}

export interface EntityRecord {
  /** Per author the last event that touched it. */
  readonly seen: ClockRecord;
  /** One, unless masters wrote without knowing of each other and the strategy keeps both. The one that shows here is first. */
  readonly versions: readonly Version[];
}

export interface Admission {
  readonly record: EntityRecord;
  /** What stood here and had not been seen by the new version's author: a conflict when there is any. */
  readonly rivals: readonly Version[];
  readonly known: boolean;
}

export function versionOf(change: Change, version: number): Version {
  const { author, number, clock, wallMs, counter, entityType: type, deleted, data } = change;
  return { author, number, clock, wallMs, counter, type, version, data: deleted ? null : data };
}

/** Adds a version. With `keepRivals` those that it has not seen stay beside it, else the latest alone remains. */
export function admit(record: EntityRecord | undefined, added: Version, keepRivals: boolean): Admission {
  if (record === undefined)
    return { record: { seen: { [added.author]: added.number }, versions: [added] }, rivals: [], known: false };
  if ((record.seen[added.author] ?? 0) >= added.number) return { record, rivals: [], known: true };
  const rivals = record.versions.filter((version) => (added.clock[version.author] ?? 0) < version.number);
  const seen = { ...record.seen, [added.author]: added.number };
  if (rivals.length === 0) return { record: { seen, versions: [added] }, rivals, known: false };
  // What showed here keeps showing, unless it is what was replaced.
  const both = rivals[0] === record.versions[0] ? [...rivals, added] : [added, ...rivals];
  const versions = keepRivals ? both : [latestVersion(both)];
  return { record: { seen, versions }, rivals, known: false };
}

/** What two masters know together. A version that one of them has seen and no longer has was replaced. */
export function joinRecords(mine: EntityRecord, theirs: EntityRecord, keepRivals: boolean): EntityRecord {
  const stays = (other: EntityRecord) => (version: Version) =>
    (other.seen[version.author] ?? 0) < version.number || other.versions.some((each) => isSame(each, version));
  const kept = mine.versions.filter(stays(theirs));
  const added = theirs.versions.filter(stays(mine)).filter((version) => !kept.some((each) => isSame(each, version)));
  const versions = [...kept, ...added];
  const seen: Record<string, number> = { ...mine.seen };
  for (const [author, number] of Object.entries(theirs.seen)) seen[author] = Math.max(number, seen[author] ?? 0);
  return { seen, versions: keepRivals || versions.length < 2 ? versions : [latestVersion(versions)] };
}

/** The last writer's. */
export function latestVersion(versions: readonly Version[]): Version {
  return versions.reduce((last, version) => (compareVersions(last, version) >= 0 ? last : version));
}

/** By hybrid time, author and number: the same on every master. */
export function compareVersions(a: Version, b: Version): number {
  return compareStamped(stamped(a), stamped(b)) || a.number - b.number;
}

/** True when whoever has this clock has seen all that made the record. */
export function covers(clock: ClockRecord, record: EntityRecord): boolean {
  for (const author in record.seen) if ((clock[author] ?? 0) < (record.seen[author] as number)) return false;
  return true;
}

export function isTombstone(record: EntityRecord): boolean {
  return record.versions.every(({ data }) => data === null);
}

function isSame(a: Version, b: Version): boolean {
  return a.author === b.author && a.number === b.number;
}

function stamped({ wallMs, counter, author }: Version) {
  return { timestamp: wallMs, counter, nodeId: author };
}
