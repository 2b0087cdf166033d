/**
 * What shows of an entity whose masters wrote without knowing of each other. Under every strategy but `manual` and `detect` it is a
 * function of the versions alone, taken in one order (hybrid time, author), so masters that have seen the same events show
 * the same, whatever the order of arrival. `manual` and `detect` show what was here first, by definition not the same everywhere.
 */
import { CRDTMergeStrategy } from '../conflict/crdt-merge.ts';
import type { AnyValue } from '../conflict/entry.ts';
import type { Entity } from '../ports/state-store.ts';
import { compareVersions, type EntityRecord, latestVersion, type Version } from './entity-record.ts';
import { decodeData, encodeData, hasTags } from './tagged-values.ts';

export type ConflictStrategy = 'lww' | 'custom' | 'manual' | 'detect' | 'crdt';
export const STRATEGIES: readonly ConflictStrategy[] = ['lww', 'custom', 'manual', 'detect', 'crdt'];

/** `$type` of documents whose fields are merged whatever the strategy. Do not change: it is stored and sent. */
export const CRDT_DOCUMENT = 'CRDTDocument';

/** An entity whose fields a merge function need not check. */
export interface EntityToMerge extends Entity {
  readonly data: Record<string, AnyValue>;
}

/** Makes one entity of two. Must be deterministic: every master calls it with the same arguments. */
export type MergeFn = (local: EntityToMerge, remote: EntityToMerge) => Entity;

export interface Policy {
  readonly strategy: ConflictStrategy;
  readonly mergeFn?: MergeFn | undefined;
}

const CRDTS = new CRDTMergeStrategy<Record<string, unknown>>();

/** Versions stay side by side where something is to be made of them later. */
export function keepsRivals({ strategy }: Policy, versions: readonly Version[]): boolean {
  return strategy !== 'lww' || versions.some(isValueThatMerges);
}

/** Whether somebody must decide. */
export function leavesPending({ strategy, mergeFn }: Policy): boolean {
  return strategy === 'manual' || strategy === 'detect' || (strategy === 'custom' && mergeFn === undefined);
}

/** The entity as it is read; undefined when it is deleted. Throws what `mergeFn` throws. */
export function show(id: string, { versions }: EntityRecord, policy: Policy): Entity | undefined {
  const first = versions[0] as Version;
  if (versions.length === 1) return entityOf(id, first);
  const merges = versions.every((version) => version.data === null || isValueThatMerges(version));
  if (leavesPending(policy) && !merges) return entityOf(id, first);
  const last = latestVersion(versions);
  if (last.data === null || (policy.strategy === 'lww' && !merges)) return entityOf(id, last);
  const live = versions.filter(({ data }) => data !== null).sort(compareVersions);
  if (policy.strategy === 'custom' && policy.mergeFn !== undefined && !merges) return fold(id, live, policy.mergeFn);
  return mergeAll(id, live, last);
}

export function entityOf(id: string, version: Version): Entity | undefined {
  if (version.data === null) return undefined;
  return { $id: id, $type: version.type, $version: version.version, data: version.data, updatedAt: version.wallMs };
}

/** Whether these versions wait for somebody's decision. */
export function isOpen(versions: readonly Version[], policy: Policy): boolean {
  return versions.length > 1 && leavesPending(policy) && !mergesByItself(versions, policy);
}

/** Counters, sets and the like, and deletes: joined, never in conflict. */
export function mergesByItself(versions: readonly Version[], { strategy }: Policy): boolean {
  const live = versions.filter(({ data }) => data !== null);
  if (live.length === 0) return true;
  if (live.length < versions.length) return false;
  if (live.every(isValueThatMerges)) return true;
  return strategy === 'crdt' && live.every(({ data }) => Object.values(data ?? {}).every((field) => hasTags(field)));
}

function fold(id: string, live: readonly Version[], mergeFn: MergeFn): Entity {
  const [first, ...others] = live.map((version) => entityOf(id, version) as Entity);
  return others.reduce((merged, entity) => mergeFn(merged, entity), first as Entity);
}

function mergeAll(id: string, live: readonly Version[], last: Version): Entity {
  const { value } = CRDTS.resolveMultiple(
    live.map(({ data, wallMs, counter, author }) => {
      const value = decodeData(data as Record<string, unknown>);
      return { value, timestamp: wallMs, counter, nodeId: author };
    }),
  );
  const version = Math.max(...live.map((each) => each.version));
  return { $id: id, $type: last.type, $version: version, data: encodeData(value), updatedAt: last.wallMs };
}

/** A document that a counter, a set or a register fills whole, as the manager's own methods make them. */
function isValueThatMerges({ data, type }: Version): boolean {
  if (data === null) return false;
  if (type === CRDT_DOCUMENT) return true;
  const fields = Object.keys(data).filter((name) => name !== '$type');
  return fields.length === 1 && fields[0] === 'value' && hasTags(data.value);
}
