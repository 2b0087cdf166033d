/** The caller's side of the control protocol: what the CLI and programs use to look at a platform and to steer it. */
import { type CanopyError, checkName, hasCode } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import type { AppStatus } from '../apps/status.ts';
import type { TimelineEntry } from '../apps/timeline.ts';
import { platformErrors } from '../errors.ts';
import { decodeRecord, type MemberRecord } from '../members/record.ts';
import { controlSubject, membersBucket } from '../resources.ts';
import { DatabaseClient } from './database-client.ts';
import {
  type AppMethods,
  encodeJson,
  type MemberView,
  type NodeMethods,
  type NodeStatus,
  readReply,
  type SteppedDown,
  unreachable,
} from './protocol.ts';

export interface CallOptions {
  /** Default 2 s; 60 s for `stepdown`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface AppInstance {
  readonly node: string;
  /** Undefined when the node did not answer; then `error` says why. */
  readonly status: AppStatus | undefined;
  readonly error: CanopyError | undefined;
}

export interface AppOverview {
  readonly app: string;
  /** The node that serves now; undefined when none does. */
  readonly active: string | undefined;
  readonly epoch: number | undefined;
  readonly instances: readonly AppInstance[];
}

const STEPDOWN_TIMEOUT_MS = 60_000;

export class ControlClient {
  readonly #session: NatsSession;
  readonly #platform: string;
  /** Databases of apps: their logs, snapshots and divergences. */
  readonly databases: DatabaseClient;

  /** Uses the session, doesn't close it. Throws NAME_INVALID. */
  constructor(session: NatsSession, platform: string) {
    this.#session = session;
    this.#platform = checkName('platform', platform);
    this.databases = new DatabaseClient({
      appStatus: (app, options) => this.appStatus(app, options),
      call: (app, node, method, request, options) => this.#call(app, node, method, request, options),
    });
  }

  /** Every membership record, as stored; says nothing about who is alive. KV_BUCKET_MISSING when there is no such platform. */
  async records(options: CallOptions = {}): Promise<readonly MemberRecord[]> {
    const kv = await this.#session.kv(membersBucket(this.#platform));
    const keys = await kv.keys('>', options);
    const entries = await Promise.all(keys.map((key) => kv.get(key, options)));
    return entries
      .map((entry) => (entry === undefined ? undefined : decodeRecord(entry.value)))
      .filter((record) => record !== undefined)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /**
   * The members with their health: as the first node that answers sees them, or, when none does, the stored records as
   * `gone`.
   */
  async members(options: CallOptions = {}): Promise<readonly MemberView[]> {
    const records = await this.records(options);
    const asked = records.map((record) =>
      this.#node(record.id, 'members', {}, options).then((view) => ({ id: record.id, view })),
    );
    const first = await Promise.any(asked).catch(() => undefined);
    if (first !== undefined) return [...first.view].sort((a, b) => (a.id < b.id ? -1 : 1));
    options.signal?.throwIfAborted();
    return records.map((record): MemberView => ({ ...record, health: 'gone', ageMs: Number.MAX_SAFE_INTEGER }));
  }

  /** NODE_UNREACHABLE. */
  nodeStatus(node: string, options: CallOptions = {}): Promise<NodeStatus> {
    return this.#node(checkName('node', node), 'status', {}, options);
  }

  /** The names of apps that some node runs. */
  async apps(options: CallOptions = {}): Promise<readonly string[]> {
    const records = await this.records(options);
    return [...new Set(records.flatMap((record) => Object.keys(record.apps)))].sort();
  }

  /** Every instance of the app, asked at once. APP_UNKNOWN. */
  async appStatus(app: string, options: CallOptions = {}): Promise<AppOverview> {
    const records = await this.records(options);
    const nodes = records.filter((record) => Object.hasOwn(record.apps, app));
    if (nodes.length === 0) {
      const known = [...new Set(records.flatMap((record) => Object.keys(record.apps)))].sort().join(', ') || 'none';
      throw platformErrors.create('APP_UNKNOWN', { platform: this.#platform, app, known });
    }
    const instances = await Promise.all(nodes.map((record) => this.#instance(app, record.id, options)));
    const serving = instances
      .map((instance) => instance.status)
      .filter((status) => status?.serving === true)
      .sort((a, b) => (b?.epoch ?? 0) - (a?.epoch ?? 0))[0];
    return { app, active: serving?.node, epoch: serving?.epoch, instances };
  }

  /** NODE_UNREACHABLE. */
  async timeline(app: string, node: string, options: CallOptions = {}): Promise<readonly TimelineEntry[]> {
    return this.#app(app, node, 'timeline', {}, options);
  }

  /** The database on each node of the app, undefined where it has none or the node does not answer. */
  async databaseStatus(
    app: string,
    options: CallOptions = {},
  ): Promise<readonly { node: string; database: AppStatus['database']; error: CanopyError | undefined }[]> {
    const { instances } = await this.appStatus(app, options);
    return instances.map(({ node, status, error }) => ({ node, database: status?.database, error }));
  }

  /**
   * Asks the active node to give the app up, to `to` if named. Resolves when the lease is free; who takes it is seen in
   * `appStatus`. APP_UNKNOWN, APP_NOT_ACTIVE, HANDOFF_TARGET_INVALID, NODE_UNREACHABLE.
   */
  async stepdown(app: string, options: CallOptions & { to?: string } = {}): Promise<SteppedDown> {
    const { to, ...call } = options;
    const { instances } = await this.appStatus(app, call.signal === undefined ? {} : { signal: call.signal });
    const leading = instances.find((instance) => instance.status?.election?.isLeader === true);
    if (leading === undefined)
      throw platformErrors.create('APP_NOT_ACTIVE', { app, node: instances.map(({ node }) => node).join(', ') });
    const bounded = { ...call, timeoutMs: call.timeoutMs ?? STEPDOWN_TIMEOUT_MS };
    if (to === undefined) return this.#app(app, leading.node, 'stepdown', {}, bounded);
    return this.#app(app, leading.node, 'handoff', { to: checkName('node', to) }, bounded);
  }

  async #instance(app: string, node: string, options: CallOptions): Promise<AppInstance> {
    try {
      return { node, status: await this.#app(app, node, 'status', {}, options), error: undefined };
    } catch (error) {
      if (!hasCode(error, 'NODE_UNREACHABLE', 'CONTROL_FAILED', 'CONTROL_REPLY_INVALID')) throw error;
      return { node, status: undefined, error };
    }
  }

  async #node<M extends keyof NodeMethods>(
    node: string,
    method: M,
    request: NodeMethods[M]['request'],
    options: CallOptions,
  ): Promise<NodeMethods[M]['reply']> {
    return (await this.#call(undefined, node, method, request, options)) as NodeMethods[M]['reply'];
  }

  async #app<M extends keyof AppMethods>(
    app: string,
    node: string,
    method: M,
    request: AppMethods[M]['request'],
    options: CallOptions,
  ): Promise<AppMethods[M]['reply']> {
    return (await this.#call(app, node, method, request, options)) as AppMethods[M]['reply'];
  }

  async #call(
    app: string | undefined,
    node: string,
    method: string,
    request: object,
    options: CallOptions & { readonly isWork?: boolean },
  ): Promise<unknown> {
    const subject = controlSubject(this.#platform, app, node, method);
    try {
      const reply = await this.#session.bus.request(subject, encodeJson(request), {
        timeoutMs: options.timeoutMs ?? 2000,
        signal: options.signal,
      });
      return readReply(reply.data, { node, method });
    } catch (error) {
      // Of work that takes its time, no answer yet says nothing about the node.
      if (options.isWork === true && hasCode(error, 'DEADLINE_EXCEEDED')) throw error;
      throw unreachable(node, error);
    }
  }
}
