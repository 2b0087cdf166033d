/** The caller's side of control requests about databases: finds the node that has to answer, and follows it once. */
import { type CanopyError, checkName, hasCode } from '@canopy/core';
import type { Snapshot } from '../database/app-snapshots.ts';
import { platformErrors } from '../errors.ts';
import type { AppOverview, CallOptions } from './client.ts';
import type { AppMethods, DatabaseSynced, DivergencePiece, KeptDivergence, WalView } from './protocol.ts';

const SYNC_TIMEOUT_MS = 10_000;
const SNAPSHOT_TIMEOUT_MS = 600_000;
const LIST_TIMEOUT_MS = 10_000;
/** What is left to the answer on its way, of the time that a caller gives. */
const ON_THE_WAY_MS = 500;

export interface DatabaseClientDeps {
  appStatus(app: string, options: CallOptions): Promise<AppOverview>;
  call(
    app: string,
    node: string,
    method: string,
    request: object,
    options: CallOptions & { readonly isWork: boolean },
  ): Promise<unknown>;
}

/** What one node has kept, or why it can't be known. */
export interface NodeDivergences {
  readonly node: string;
  readonly divergences: readonly KeptDivergence[] | undefined;
  readonly error: CanopyError | undefined;
}

/** Every call throws APP_UNKNOWN, APP_DB_NONE, NODE_UNREACHABLE, DEADLINE_EXCEEDED and what the node says. */
export class DatabaseClient {
  readonly #deps: DatabaseClientDeps;

  constructor(deps: DatabaseClientDeps) {
    this.#deps = deps;
  }

  /** Everything committed before is in the log, and with `applied` in that many standbys' files (default bound 10 s). */
  sync(app: string, options: CallOptions & { readonly applied?: number } = {}): Promise<DatabaseSynced> {
    const { applied, timeoutMs = SYNC_TIMEOUT_MS, ...call } = options;
    const request = { ...(applied === undefined ? {} : { applied }), timeoutMs };
    return this.#primary(app, 'db_sync', request, { ...call, timeoutMs: timeoutMs + ON_THE_WAY_MS });
  }

  wal(app: string, node: string, options: CallOptions = {}): Promise<WalView> {
    return this.#node(app, node, 'wal', {}, { timeoutMs: LIST_TIMEOUT_MS, ...options });
  }

  /** Of everything committed at the request (default bound 10 min). SQLITE_SNAPSHOT_EXISTS, SQLITE_SNAPSHOT_NAME. */
  createSnapshot(app: string, options: CallOptions & { readonly name?: string } = {}): Promise<Snapshot> {
    const { name, ...call } = options;
    const request = name === undefined ? {} : { name };
    return this.#primary(app, 'snapshot_create', request, { timeoutMs: SNAPSHOT_TIMEOUT_MS, ...call });
  }

  /** Oldest first. */
  listSnapshots(app: string, options: CallOptions = {}): Promise<readonly Snapshot[]> {
    return this.#primary(app, 'snapshot_list', {}, { timeoutMs: LIST_TIMEOUT_MS, ...options });
  }

  /** For good. SQLITE_SNAPSHOT_MISSING. */
  async deleteSnapshot(app: string, id: string, options: CallOptions = {}): Promise<void> {
    await this.#primary(app, 'snapshot_delete', { id }, { timeoutMs: LIST_TIMEOUT_MS, ...options });
  }

  /** Of every node of the app, asked at once. */
  async divergences(app: string, options: CallOptions = {}): Promise<readonly NodeDivergences[]> {
    const { instances } = await this.#deps.appStatus(app, withoutTimeout(options));
    return Promise.all(
      instances.map(async ({ node, error }): Promise<NodeDivergences> => {
        if (error !== undefined) return { node, divergences: undefined, error };
        try {
          const call = { timeoutMs: LIST_TIMEOUT_MS, ...options };
          return { node, divergences: await this.#node(app, node, 'divergence_list', {}, call), error: undefined };
        } catch (problem) {
          if (hasCode(problem, 'APP_DB_NONE')) return { node, divergences: [], error: undefined };
          if (!hasCode(problem, 'NODE_UNREACHABLE', 'CONTROL_METHOD_UNKNOWN', 'APP_DB_CLOSED', 'DEADLINE_EXCEEDED'))
            throw problem;
          return { node, divergences: undefined, error: problem };
        }
      }),
    );
  }

  /** The list of changes, a piece at a time. SQLITE_DIVERGENCE_MISSING. */
  async *changes(
    app: string,
    node: string,
    id: string,
    options: CallOptions = {},
  ): AsyncGenerator<DivergencePiece['changes'][number]> {
    const call = { timeoutMs: LIST_TIMEOUT_MS, ...options };
    for (let offset: number | undefined = 0; offset !== undefined; ) {
      const piece: DivergencePiece = await this.#node(app, node, 'divergence_show', { id, offset }, call);
      yield* piece.changes;
      offset = piece.next;
    }
  }

  /** The kept copy, for good. SQLITE_DIVERGENCE_MISSING. */
  deleteDivergence(
    app: string,
    node: string,
    id: string,
    options: CallOptions = {},
  ): Promise<AppMethods['divergence_delete']['reply']> {
    return this.#node(app, node, 'divergence_delete', { id }, { timeoutMs: LIST_TIMEOUT_MS, ...options });
  }

  /** Asks the node that says it is primary; one that has just handed over says who is by now. */
  async #primary<M extends keyof AppMethods>(
    app: string,
    method: M,
    request: AppMethods[M]['request'],
    options: CallOptions,
  ): Promise<AppMethods[M]['reply']> {
    const { instances } = await this.#deps.appStatus(app, withoutTimeout(options));
    const databases = instances.filter(({ status }) => status?.database !== undefined);
    const answering = instances.filter(({ status }) => status !== undefined);
    if (answering.length > 0 && databases.length === 0) throw platformErrors.create('APP_DB_NONE', { app });
    const newestFirst = [...databases].sort((a, b) => (b.status?.epoch ?? 0) - (a.status?.epoch ?? 0));
    const primary = newestFirst.find(({ status }) => status?.database?.role === 'primary')?.node;
    if (primary === undefined) {
      const node = instances.map((instance) => instance.node).join(', ');
      const fields = { app, node, role: 'standby or silent', primary: 'nobody at the moment' };
      throw platformErrors.create('APP_DB_NOT_PRIMARY', fields);
    }
    try {
      return await this.#node(app, primary, method, request, options);
    } catch (error) {
      const leader = hasCode(error, 'APP_DB_NOT_PRIMARY') ? error.fields.leader : undefined;
      if (typeof leader !== 'string' || leader === primary) throw error;
      return this.#node(app, leader, method, request, options);
    }
  }

  async #node<M extends keyof AppMethods>(
    app: string,
    node: string,
    method: M,
    request: AppMethods[M]['request'],
    options: CallOptions,
  ): Promise<AppMethods[M]['reply']> {
    const name = checkName('node', node);
    return (await this.#deps.call(app, name, method, request, { ...options, isWork: true })) as AppMethods[M]['reply'];
  }
}

function withoutTimeout({ signal }: CallOptions): CallOptions {
  return signal === undefined ? {} : { signal };
}
