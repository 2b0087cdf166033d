/**
 * What a node answers to control requests about an app's database. Whoever is asked to change something and is not the
 * primary says who is (APP_DB_NOT_PRIMARY, field `leader`).
 */
import { type Clock, type Durability, formatPosition } from '@canopy/core';
import type { DatabaseSynced, WalView } from '../control/protocol.ts';
import type { Handlers } from '../control/server.ts';
import { administer } from '../database/app-wal.ts';
import type { DataApp } from '../database/data-app.ts';
import { platformErrors } from '../errors.ts';

/** Bound on any request, snapshots of large databases included: longer than callers wait. */
const WORK_TIMEOUT_MS = 60 * 60_000;
const SYNC_TIMEOUT_MS = 600_000;

type Request = Readonly<Record<string, unknown>>;

export function databaseHandlers(app: DataApp, node: string, clock: Clock): Handlers {
  const ask = async (op: string, argument: Request = {}): Promise<unknown> => {
    const late = new AbortController();
    const timer = clock.timer(WORK_TIMEOUT_MS, () => late.abort(new DOMException('it took too long', 'AbortError')));
    try {
      return await administer(app.access, app.name, { ...argument, op }, { signal: late.signal });
    } finally {
      timer.cancel();
    }
  };
  const asPrimary = (op: string, argument: Request): Promise<unknown> => {
    app.access.primary();
    return ask(op, argument);
  };
  return {
    db_sync: (request) => syncHere(app, node, clock, request),
    wal: async (): Promise<WalView> => {
      const [position, lag] = [formatPosition(app.wal.position()), app.wal.lag()];
      return { node, position, lag, stats: await app.wal.stats() };
    },
    snapshot_create: async ({ name }) => asPrimary('snapshot.create', name === undefined ? {} : { name }),
    snapshot_list: () => ask('snapshot.list'),
    snapshot_delete: async (request) => {
      const id = textOf('snapshot_delete', request, 'id');
      await asPrimary('snapshot.delete', { id });
      return { id };
    },
    divergence_list: () => ask('divergence.list'),
    divergence_show: (request) =>
      ask('divergence.show', { id: textOf('divergence_show', request, 'id'), offset: offsetOf(request) }),
    divergence_delete: (request) => ask('divergence.delete', { id: textOf('divergence_delete', request, 'id') }),
  };
}

/** Everything that was committed before is in the log, and with `applied` in that many standbys' files. */
export async function syncHere(app: DataApp, node: string, clock: Clock, request: Request): Promise<DatabaseSynced> {
  const startedAt = clock.monotonic();
  const position = await app.wal.sync({ durability: durabilityOf(request), timeout: timeoutOf(request) });
  return { node, position: formatPosition(position), ms: Math.round(clock.monotonic() - startedAt) };
}

function durabilityOf({ applied }: Request): Durability {
  return applied === undefined ? 'replicated' : { applied: applied as number };
}

function timeoutOf({ timeoutMs }: Request): number {
  return typeof timeoutMs === 'number' ? Math.min(timeoutMs, SYNC_TIMEOUT_MS) : SYNC_TIMEOUT_MS;
}

function textOf(method: string, request: Request, field: string): string {
  const value = request[field];
  if (typeof value === 'string') return value;
  throw platformErrors.create('CONTROL_REQUEST_INVALID', { method, problem: `${field} must be a text` });
}

function offsetOf({ offset = 0 }: Request): number {
  if (Number.isSafeInteger(offset) && Number(offset) >= 0) return Number(offset);
  throw platformErrors.create('CONTROL_REQUEST_INVALID', {
    method: 'divergence_show',
    problem: 'offset must be a whole number',
  });
}
