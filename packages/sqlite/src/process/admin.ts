/**
 * Administration of an open database, by name: what the command line and the platform ask for beside its work. Every
 * answer is plain data that survives the way to another process.
 */
import { join } from 'node:path';
import type { AdminRequest, Env } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { deleteDivergence, describeDivergences, findDivergence, readChanges } from '../divergence/listing.ts';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { NamedSnapshot } from '../snapshots/snapshot.ts';
import { SnapshotStore } from '../snapshots/snapshot-store.ts';
import type { Verifier } from '../verify/verifier.ts';
import { type Mode, positionOf } from './mode.ts';
import type { DatabaseSpec } from './protocol.ts';

/** Each request's scratch directory is its own. */
let requests = 0;
/** Inside our directory beside the database. */
export const NAMED = 'named';
/** Entries that one answer holds; more are said to be there. */
const LIST_MAX = 1000;

export interface AdminContext {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly directory: string;
  readonly log: SegmentLog;
  snapshots(): Promise<Blobs>;
  readonly mode: Mode;
  readonly verifier: Verifier;
  forgetDivergence(directory: string): void;
}

/** One object of the log, for people. */
export interface LogObject {
  readonly name: string;
  readonly level: number;
  readonly minTxid: number;
  readonly maxTxid: number;
  readonly size: number;
  readonly epoch: number;
  readonly node: string | undefined;
  readonly kind: string;
  readonly timestamp: number;
  readonly storedAt: number;
}

type Operation = (context: AdminContext, request: AdminRequest, signal: AbortSignal) => Promise<unknown>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  'snapshot.create': createSnapshot,
  'snapshot.list': async (context, _, signal) => (await storeOf(context)).list({ signal }),
  'snapshot.delete': async (context, request, signal) =>
    (await storeOf(context)).delete(textOf(request, 'id'), { signal }),
  'verify.run': ({ verifier }, _, signal) => verifier.verify(signal),
  stats,
  'ltx.list': listLog,
  'divergence.list': ({ spec }) => describeDivergences(spec.path),
  'divergence.show': async ({ spec }, request) =>
    readChanges(findDivergence(spec.path, String(request.id)), Number(request.offset ?? 0)),
  'divergence.delete': async ({ spec, forgetDivergence }, request) => {
    const deleted = await deleteDivergence(spec.path, String(request.id));
    forgetDivergence(deleted.directory);
    return { id: request.id, ...deleted };
  },
};

/**
 * `snapshot.create {name?}` a NamedSnapshot · `snapshot.list` those · `snapshot.delete {id}` · `verify.run` a Verified ·
 * `stats` · `ltx.list {level?, from?}` {objects, more} · `divergence.list` DivergenceSummary · `divergence.show {id, offset?}`
 * a ChangesPiece · `divergence.delete {id}`. Throws SQLITE_ADMIN_UNKNOWN.
 */
export async function administer(context: AdminContext, request: AdminRequest, signal: AbortSignal): Promise<unknown> {
  const operation = Object.hasOwn(OPERATIONS, request.op) ? OPERATIONS[request.op] : undefined;
  if (operation === undefined)
    throw sqliteErrors.create('SQLITE_ADMIN_UNKNOWN', { op: request.op, known: Object.keys(OPERATIONS).join(', ') });
  return operation(context, request, signal);
}

/** Of everything that is committed at the call where this is the primary, else of what is in the log. */
async function createSnapshot(
  context: AdminContext,
  request: AdminRequest,
  signal: AbortSignal,
): Promise<NamedSnapshot> {
  const { mode, log, spec, directory } = context;
  const name = request.name === undefined ? undefined : textOf(request, 'name');
  if (mode.kind === 'primary') await mode.primary.sync(signal);
  const scratch = join(directory, NAMED, String(++requests));
  return (await storeOf(context)).create({ log, node: spec.node, name, scratch, signal });
}

async function stats({ mode, log, verifier }: AdminContext, _: AdminRequest, signal: AbortSignal): Promise<unknown> {
  const bucket = await log.store.bucketInfo({ signal });
  return {
    role: mode.kind,
    position: positionOf(mode),
    bucket,
    upkeep: mode.kind === 'primary' ? mode.primary.keeper.stats : undefined,
    verified: verifier.last,
  };
}

async function listLog({ log }: AdminContext, request: AdminRequest, signal: AbortSignal): Promise<unknown> {
  const { level, from } = request;
  const wanted = (await log.all({ signal })).filter(
    (entry) =>
      (typeof level !== 'number' || entry.level === level) && (typeof from !== 'number' || entry.maxTxid >= from),
  );
  const objects: LogObject[] = wanted
    .slice(0, LIST_MAX)
    .map(({ name, level: at, minTxid, maxTxid, size, epoch, node, kind, timestamp, storedAt }) => ({
      name,
      level: at,
      minTxid,
      maxTxid,
      size,
      epoch,
      node,
      kind,
      timestamp,
      storedAt,
    }));
  return { objects, more: wanted.length - objects.length };
}

async function storeOf({ snapshots, env, spec }: AdminContext): Promise<SnapshotStore> {
  return new SnapshotStore({ blobs: await snapshots(), env, pageEncoding: spec.options.pageEncoding });
}

function textOf(request: AdminRequest, field: string): string {
  const value = request[field];
  if (typeof value === 'string') return value;
  throw sqliteErrors.create('SQLITE_SNAPSHOT_NAME', { id: String(value) });
}
