/**
 * One node of a platform: it holds its id, is a member, runs its apps, and tells about itself. Invariant: apps run only
 * while this process holds the node id; when another process takes it, they are stopped and the platform fails.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import {
  type CanopyError,
  checkName,
  type Env,
  Lifecycle,
  makeDirectory,
  messageOf,
  noMetrics,
  type StartOptions,
  systemEnv,
  TaskGroup,
  type WatchOptions,
  withDeadline,
} from '@canopy/core';
import { Warden } from '@canopy/election';
import { connectNats, type NatsSession } from '@canopy/nats';
import { App, type AppHost } from '../apps/app.ts';
import { type AppOptions, resolveAppOptions } from '../apps/options.ts';
import { ControlClient } from '../control/client.ts';
import type { MemberView, NodeStatus } from '../control/protocol.ts';
import { ControlServer } from '../control/server.ts';
import { platformErrors } from '../errors.ts';
import { PromMetrics } from '../http/prom-metrics.ts';
import { StatusServer } from '../http/status-server.ts';
import { Directory } from '../members/directory.ts';
import { Identity } from '../members/identity.ts';
import { sampleLoad } from '../members/load.ts';
import type { Member, MemberEvent } from '../members/machine.ts';
import type { MemberRecord } from '../members/record.ts';
import { thisProcess } from '../members/this-process.ts';
import { membersBucket } from '../resources.ts';
import { appHandlers, memberViews } from './answers.ts';
import { syncHere } from './database-answers.ts';
import { type PlatformOptions, type ResolvedPlatformOptions, resolvePlatformOptions } from './options.ts';

/** Records of nodes that never came back are forgotten by the server after this long. */
const RECORD_TTL_MS = 24 * 3_600_000;
const LEAVE_TIMEOUT_MS = 2000;

type MemberListener = (member: Member) => void;

/**
 * A node. `start()` resolves when the node is a member and its apps follow or serve. Errors: those of connectNats, NODE_ID_IN_USE,
 * DATA_DIR_UNUSABLE, LISTEN_TAKEN, and what the apps' databases report at their start. `stop()` has the apps step down
 * and stop, removes the membership record, and closes what it opened, within `stopTimeout`; then it forces.
 */
export class Platform extends Lifecycle {
  readonly name: string;
  readonly node: string;
  readonly #options: ResolvedPlatformOptions;
  readonly #env: Env;
  readonly #apps = new Map<string, App>();
  readonly #process = thisProcess();
  readonly #incarnation: string;
  readonly #startedAt: number;
  readonly #joinListeners = new Set<MemberListener>();
  readonly #leaveListeners = new Set<MemberListener>();
  readonly #tasks: TaskGroup;
  #session: NatsSession | undefined;
  #warden: Warden | undefined;
  #identity: Identity | undefined;
  #directory: Directory | undefined;
  #control: ControlServer | undefined;
  #http: StatusServer | undefined;
  readonly #stopping = new AbortController();

  /** Does no I/O. Throws OPTIONS_INVALID, NAME_INVALID. Without `env.metrics` (or with `noMetrics`) a prom-client registry serves /metrics. */
  constructor(options: PlatformOptions, env: Partial<Env> = {}) {
    super('platform');
    this.#options = resolvePlatformOptions(options);
    this.name = this.#options.name;
    this.node = this.#options.node;
    const metrics = env.metrics === undefined || env.metrics === noMetrics ? new PromMetrics() : env.metrics;
    const full = systemEnv({ ...env, metrics });
    this.#env = { ...full, log: full.log.with({ platform: this.name, node: this.node }) };
    this.#incarnation = full.random.uuid();
    this.#startedAt = full.clock.wall();
    this.#tasks = new TaskGroup((error) => this.fail(error));
  }

  /** Adds an app; it starts and stops with the platform. Only before start(). OPTIONS_INVALID, NAME_INVALID, APP_EXISTS. */
  app(name: string, options: AppOptions): App {
    checkName('app', name);
    this.require('add an app', 'new');
    if (this.#apps.has(name)) throw platformErrors.create('APP_EXISTS', { platform: this.name, app: name });
    const app = new App(name, resolveAppOptions(name, options, this.#options), this.#host(), this.#env);
    this.#apps.set(name, app);
    return app;
  }

  /** The apps of this node, by name. */
  get apps(): ReadonlyMap<string, App> {
    return this.#apps;
  }

  /** `http://host:port` of the status server; undefined without one or before start. */
  get httpAddress(): string | undefined {
    const port = this.#http?.port;
    const { http, address } = this.#options;
    if (port === undefined || http === undefined) return undefined;
    return `http://${http.host === '0.0.0.0' || http.host === '::' ? address : http.host}:${port}`;
  }

  /** Everybody as this node sees them, gone ones included. */
  members(): readonly Member[] {
    return this.#directory?.members() ?? [];
  }

  /** A `joined` event for each present member, then what happens. Ends with the platform. Only while it runs. */
  watchMembers(options: WatchOptions = {}): AsyncIterableIterator<MemberEvent> {
    this.require('watch members', 'starting', 'running');
    return (this.#directory as Directory).watch(options);
  }

  /** Calls `listener` for each member that joins, those present at the start included. Returns how to end that. */
  onMemberJoin(listener: MemberListener): () => void {
    this.#joinListeners.add(listener);
    return () => void this.#joinListeners.delete(listener);
  }

  /** Calls `listener` for each member that has left or is gone. */
  onMemberLeave(listener: MemberListener): () => void {
    this.#leaveListeners.add(listener);
    return () => void this.#leaveListeners.delete(listener);
  }

  status(): NodeStatus {
    const { version, address, labels } = this.#options;
    const nats = this.#session?.status();
    return {
      platform: this.name,
      node: this.node,
      version,
      state: this.state,
      address,
      http: this.httpAddress,
      startedAt: this.#startedAt,
      incarnation: this.#incarnation,
      pid: this.#process.pid,
      wardenPid: this.#warden?.pid,
      labels,
      nats: nats ?? { connected: false, server: undefined, serverVersion: undefined, clusterSize: 0, reconnects: 0 },
      members: this.#memberViews(),
      apps: Object.fromEntries([...this.#apps].map(([name, app]) => [name, app.status()])),
    };
  }

  /** Starts, runs until the signal aborts or the platform fails, and stops. Rejects with what it failed of. */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    await this.start({ signal });
    const aborted = Promise.withResolvers<undefined>();
    const onAbort = (): void => aborted.resolve(undefined);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const error = await Promise.race([this.closed, aborted.promise]);
    signal?.removeEventListener('abort', onAbort);
    await this.stop();
    if (error !== undefined) throw error;
  }

  /** Idempotent. Aborts a start under way; see the class for order and bound. */
  override stop(): Promise<void> {
    this.#stopping.abort(new DOMException('stopped', 'AbortError'));
    return super.stop();
  }

  protected async onStart(options: StartOptions): Promise<void> {
    const { connection, refreshMs, http, dataDir } = this.#options;
    const given = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([...given, this.#stopping.signal]);
    await usableDirectory(dataDir);
    const session =
      this.#options.session ?? (await connectNats(connection, { name: this.node, env: this.#env, signal }));
    this.#session = session;
    const kv = await session.ensureKv(membersBucket(this.name), { ttlMs: RECORD_TTL_MS });
    this.#directory = new Directory({ kv, refreshMs, onEvent: (event) => this.#onMember(event) }, this.#env);
    await this.#directory.start(signal);
    const identity = new Identity(
      {
        kv,
        platform: this.name,
        node: this.node,
        incarnation: this.#incarnation,
        refreshMs,
        describe: () => this.#describe(),
        onLost: (error) => this.#lost(error),
      },
      this.#env,
    );
    await identity.claim(signal);
    this.#identity = identity;
    if (http !== undefined) {
      this.#http = new StatusServer({ ...http, source: this.#statusSource() }, this.#env);
      await this.#http.start({ signal });
    }
    if (this.#options.warden) {
      this.#warden = new Warden({ connection, node: this.node }, this.#env);
      await this.#warden.start({ signal });
      // Without a warden nothing may run under a lease: a supervisor had better start this node anew.
      void this.#warden.closed.then((error) => error !== undefined && this.fail(error));
    }
    this.#serveControl(session);
    this.#tasks.run('session', (stopped) => this.#watchSession(session, stopped));
    await Promise.all([...this.#apps.values()].map((app) => app.start({ signal })));
    identity.kick();
  }

  /** Apps step down and stop, the record goes, then what they stood on. Bounded by `stopTimeout`, then forced. */
  protected async onStop(): Promise<void> {
    const { clock, log } = this.#env;
    const { stopTimeoutMs } = this.#options;
    try {
      await withDeadline(clock, 'shutdown', stopTimeoutMs, this.#leave());
    } catch (cause) {
      const error = platformErrors.create('SHUTDOWN_TIMEOUT', { node: this.node, timeoutMs: stopTimeoutMs }, cause);
      const busy = [...this.#apps.values()].filter((app) => app.state === 'stopping').map((app) => app.name);
      log.error('shutdown_forced', { code: error.code, error: error.message, busy });
    }
    // What guards and carries the apps goes last: a forced stop leaves it to the warden to end what still runs.
    await this.#warden?.stop();
    await this.#tasks.stop();
    await this.#directory?.stop();
    if (this.#options.session === undefined) await this.#session?.close();
  }

  async #leave(): Promise<void> {
    await Promise.all([...this.#apps.values()].map((app) => app.stop()));
    await this.#control?.stop();
    await this.#identity?.release(LEAVE_TIMEOUT_MS);
    if (this.#http?.state === 'running') await this.#http.stop();
  }

  #host(): AppHost {
    const { name, node, address, connection, dataDir } = this.#options;
    return {
      platform: name,
      node,
      address,
      connection,
      dataDir,
      session: () => this.#session as NatsSession,
      warden: (lease) => this.#warden?.lease(lease),
      member: (id) => this.#directory?.get(id),
      members: () => this.members(),
      onChanged: () => this.#identity?.kick(),
    };
  }

  async #describe(): Promise<MemberRecord> {
    const { address, labels, version, dataDir } = this.#options;
    const load = await sampleLoad(dataDir);
    const http = this.httpAddress;
    return {
      id: this.node,
      incarnation: this.#incarnation,
      address,
      ...(http === undefined ? {} : { http }),
      labels,
      version,
      startedAt: this.#startedAt,
      process: this.#process,
      apps: Object.fromEntries([...this.#apps].map(([name, app]) => [name, app.record()])),
      load,
      cordoned: false,
    };
  }

  #onMember(event: MemberEvent): void {
    for (const app of this.#apps.values()) app.membersChanged();
    if (event.type === 'joined') for (const listener of this.#joinListeners) listener(event.member);
    if (event.type === 'left' || event.type === 'gone')
      for (const listener of this.#leaveListeners) listener(event.member);
  }

  #lost(error: CanopyError): void {
    this.#env.log.error('node_id_lost', error.fields);
    this.fail(error);
  }

  #serveControl(session: NatsSession): void {
    const control = new ControlServer({ bus: session.bus, platform: this.name, node: this.node }, this.#env);
    this.#control = control;
    control.serve(undefined, { status: () => this.status(), members: () => this.#memberViews() });
    for (const app of this.#apps.values()) control.serve(app.name, appHandlers(app, this.node, this.#env.clock));
  }

  #memberViews(): readonly MemberView[] {
    return memberViews(this.members(), this.#env.clock.monotonic());
  }

  async #watchSession(session: NatsSession, signal: AbortSignal): Promise<void> {
    for await (const event of session.watch({ signal })) {
      if (event.type === 'connected') this.#env.log.info('nats_connected', { server: event.server });
      else if (event.type === 'disconnected') this.#env.log.warn('nats_disconnected', { reason: event.reason });
      else if (!this.#stopping.signal.aborted) throw event.error ?? new Error('the NATS session was closed');
    }
  }

  #statusSource(): ConstructorParameters<typeof StatusServer>[0]['source'] {
    const { metrics } = this.#env;
    return {
      health: () => (this.state === 'failed' || this.state === 'stopped' ? `the node is ${this.state}` : undefined),
      notReady: () => this.#notReady(),
      status: () => this.status(),
      metrics: () =>
        metrics instanceof PromMetrics
          ? metrics.render().then((text) => ({ text, contentType: metrics.contentType }))
          : undefined,
      sync: ({ app: name, ...request }) => {
        const app = this.#apps.get(name);
        if (app?.role === 'active') return syncHere(app, this.node, this.#env.clock, request);
        return new ControlClient(this.#session as NatsSession, this.name).databases.sync(name, request);
      },
    };
  }

  #notReady(): readonly string[] | undefined {
    const reasons: string[] = [];
    if (this.state !== 'running') reasons.push(`the node is ${this.state}`);
    if (this.#identity?.isFresh !== true) reasons.push('the membership record could not be refreshed');
    for (const app of this.#apps.values()) {
      const { role } = app;
      if (role === 'failed' || role === 'stopped') reasons.push(`app ${app.name} is ${role}`);
      else if (role !== 'standby' && !app.serving) reasons.push(`app ${app.name} is ${role} and does not serve`);
    }
    return reasons.length === 0 ? undefined : reasons;
  }
}

async function usableDirectory(directory: string): Promise<void> {
  try {
    makeDirectory(directory);
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw platformErrors.create('DATA_DIR_UNUSABLE', { directory, problem: messageOf(error) }, error);
  }
}
