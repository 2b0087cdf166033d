/**
 * Deleting objects. The entry goes first, by a tombstone that watchers see; then its bytes and the tombstone itself are
 * purged, in whatever order: nobody sees them any more, and what a crash leaves of them the sweep removes. Of many
 * objects, entries are looked up ahead and purges run behind, both bounded; the tombstones alone make an object go, and
 * they are written one after the other, each when the one before it is stored. So what is gone is always a prefix.
 */
import { hasCode } from '@canopy/core';
import type { JetStreamApi } from '../jetstream/api.ts';
import { isConflict } from '../jetstream/failures.ts';
import type { Budget } from '../session/link.ts';
import { type BlobMeta, blobStream, chunkSubject, encodeTombstone, metaSubject } from './wire.ts';

/** Objects looked up ahead, and objects whose purges are under way. */
const AHEAD_MAX = 16;
const BEHIND_MAX = 16;

export interface DeletionDeps {
  readonly api: JetStreamApi;
  readonly bucket: string;
  /** The name's entry, tombstones included. */
  entryOf(name: string, operation: string, budget: Budget): Promise<DeletableEntry | undefined>;
  /** Turns the server's refusals into ours. */
  translate<T>(work: () => Promise<T>): Promise<T>;
  /** For one object. */
  budget(): Budget;
}

export interface DeletableEntry {
  readonly meta: BlobMeta;
  readonly info: { readonly revision: number };
}

/** Removes one object and every trace of its name. */
export async function deleteOne(deps: DeletionDeps, name: string): Promise<void> {
  const found = lookUp(deps, name);
  const buried = await bury(deps, found, await found.entry);
  if (buried !== undefined) await purge(deps, found, buried);
}

/** Each object in the given order; `onDeleted` when nobody can see it any more. Ends when every trace is gone. */
export async function deleteInOrder(
  deps: DeletionDeps,
  names: AsyncIterable<string> | Iterable<string>,
  onDeleted: (name: string) => void = () => {},
): Promise<void> {
  const ahead: LookUp[] = [];
  const behind = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const buryFirst = async (): Promise<void> => {
    const found = ahead.shift() as LookUp;
    const buried = await bury(deps, found, await found.entry);
    onDeleted(found.name);
    if (buried === undefined) return;
    const purging: Promise<void> = purge(deps, found, buried)
      .catch((error: unknown) => {
        failures.push(error);
      })
      .finally(() => behind.delete(purging));
    behind.add(purging);
    while (behind.size >= BEHIND_MAX) await Promise.race(behind);
    if (failures.length > 0) throw failures[0];
  };
  try {
    for await (const name of names) {
      ahead.push(lookUp(deps, name));
      if (ahead.length >= AHEAD_MAX) await buryFirst();
    }
    while (ahead.length > 0) await buryFirst();
  } finally {
    await Promise.all([...behind, ...ahead.map(({ entry }) => entry.catch(() => {}))]);
  }
  if (failures.length > 0) throw failures[0];
}

interface LookUp {
  readonly name: string;
  readonly operation: string;
  readonly entry: Promise<DeletableEntry | undefined>;
}

interface Buried {
  readonly meta: BlobMeta;
  /** Of the tombstone. */
  readonly seq: number;
}

function lookUp(deps: DeletionDeps, name: string): LookUp {
  const operation = `delete ${deps.bucket}/${name}`;
  const entry = deps.entryOf(name, operation, deps.budget());
  entry.catch(() => {});
  return { name, operation, entry };
}

/** Writes the tombstone that watchers see. Undefined: there is nothing. */
async function bury(
  deps: DeletionDeps,
  { name, operation }: LookUp,
  first: DeletableEntry | undefined,
): Promise<Buried | undefined> {
  const { api, bucket } = deps;
  // Its own: what was looked up ahead may have waited long for its turn.
  const budget = deps.budget();
  // What is said not to be there is asked for again: those behind it must not go while it stays.
  for (
    let entry = first ?? (await deps.entryOf(name, operation, budget));
    entry !== undefined;
    entry = await deps.entryOf(name, operation, budget)
  ) {
    const { meta, info } = entry;
    if (meta.deleted) return { meta, seq: info.revision };
    try {
      const publish = api.publish(operation, metaSubject(bucket, name), encodeTombstone(meta), {
        stream: blobStream(bucket),
        ...left(budget, operation),
        headers: { 'Nats-Rollup': 'sub' },
        expectedSeq: info.revision,
      });
      return { meta, seq: (await deps.translate(() => publish)).seq };
    } catch (error) {
      // A full bucket must still be emptied: without a tombstone watchers learn of it at their next comparison.
      if (hasCode(error, 'BUCKET_FULL', 'NATS_STORAGE_FULL')) return purgeEntry(deps, operation, entry, name);
      // It has changed: look again.
      if (!isConflict(error)) throw error;
    }
  }
  return undefined;
}

/** Makes the object go without a message. */
async function purgeEntry(
  deps: DeletionDeps,
  operation: string,
  { meta, info }: DeletableEntry,
  name: string,
): Promise<Buried> {
  await purgeSubject(deps, operation, metaSubject(deps.bucket, name), info.revision + 1);
  return { meta, seq: info.revision };
}

async function purge(deps: DeletionDeps, { name, operation }: LookUp, { meta, seq }: Buried): Promise<void> {
  const { bucket } = deps;
  await Promise.all([
    purgeSubject(deps, operation, metaSubject(bucket, name), seq + 1),
    purgeSubject(deps, operation, chunkSubject(bucket, meta.nuid)),
  ]);
}

async function purgeSubject(deps: DeletionDeps, operation: string, subject: string, seq?: number): Promise<void> {
  const { api, bucket, translate } = deps;
  const budget = deps.budget();
  const body = { filter: subject, ...(seq === undefined ? {} : { seq }) };
  await translate(() => api.call(operation, `STREAM.PURGE.${blobStream(bucket)}`, body, left(budget, operation)));
}

function left(budget: Budget, operation: string): { timeoutMs: number; signal: AbortSignal | undefined } {
  if (budget.spent) throw budget.expired(operation);
  return { timeoutMs: budget.leftMs, signal: budget.signal };
}
