/**
 * One app on one node: it follows while another node is active, becomes active when it is elected, and serves. Invariant:
 * `serving` implies a lease that holds by the clock and, with a database, an epoch claimed in its log.
 */
import { join } from 'node:path';
import {
  type Backend,
  type ConnectionSpec,
  type DatabaseEvent,
  type Env,
  makeDirectory,
  messageOf,
  noGuard,
  type ProcessGuard,
  type Promotable,
  type StartOptions,
  TaskGroup,
  withDeadline,
} from '@canopy/core';
import type { Leadership, LeaseWatchdog } from '@canopy/election';
import type { NatsSession } from '@canopy/nats';
import { DataApp } from '../database/data-app.ts';
import { platformErrors } from '../errors.ts';
import type { Member } from '../members/machine.ts';
import type { AppRole, MemberApp } from '../members/record.ts';
import { AppProxy } from '../proxy/proxy.ts';
import { watchBackend } from './backend-watch.ts';
import { coordinatorBounds } from './bounds.ts';
import { Candidacy } from './candidacy.ts';
import { Coordinator } from './coordinator.ts';
import { DatabaseKeeper } from './database-keeper.ts';
import { noteDatabaseEvent } from './database-notes.ts';
import { departure, leave, reasonOf } from './departure.ts';
import { electionOptions } from './election-options.ts';
import { HoldOff } from './hold-off.ts';
import { HookRunner } from './hooks.ts';
import { LeaderWatch } from './leader-watch.ts';
import { type AppMetrics, appMetrics } from './metrics.ts';
import type { ResolvedAppOptions } from './options.ts';
import { canAnotherTakeOver, idleRole, patienceMs } from './readiness.ts';
import type { Fall } from './role-machine.ts';
import { RouteBoard } from './route-board.ts';
import { Standing } from './standing.ts';
import { type AppParts, type AppStatus, appRecord, appStatus, handoffProblem } from './status.ts';
import { graceful, TermSteps } from './term-steps.ts';
import { Timeline, type TimelineEntry, type TimelineEventName } from './timeline.ts';

/** What an app needs of the platform that runs it. */
export interface AppHost {
  readonly platform: string;
  readonly node: string;
  /** Host under which other nodes reach this one. */
  readonly address: string;
  readonly connection: ConnectionSpec;
  readonly session: () => NatsSession;
  readonly dataDir: string;
  /** The warden's side for one lease; undefined without a warden. */
  readonly warden: (lease: string) => (LeaseWatchdog & ProcessGuard) | undefined;
  readonly member: (id: string) => Member | undefined;
  readonly members: () => readonly Member[];
  /** Something that the membership record shows has changed. */
  readonly onChanged: () => void;
}

const SETTLE_AT_STOP_MS = 10_000;

export class App extends DataApp {
  readonly #host: AppHost;
  readonly #options: ResolvedAppOptions;
  readonly #env: Env;
  readonly #metrics: AppMetrics;
  readonly #timeline: Timeline;
  readonly #hooks: HookRunner;
  readonly #board: RouteBoard;
  readonly #tasks: TaskGroup;
  readonly #proxy: AppProxy | undefined;
  readonly #leaders: LeaderWatch;
  readonly #holdOff: HoldOff;
  #keeper: DatabaseKeeper | undefined;
  #backend: Backend | undefined;
  #steps: TermSteps | undefined;
  #coordinator: Coordinator | undefined;
  #candidacy: Candidacy | undefined;
  #standing: Standing | undefined;
  #problem: string | undefined;

  /** Made by `platform.app()`. */
  constructor(name: string, options: ResolvedAppOptions, host: AppHost, env: Env) {
    super(name, { node: host.node, hasDatabase: options.database !== undefined }, env);
    this.#host = host;
    this.#options = options;
    this.#env = { ...env, log: env.log.with({ app: name }) };
    this.#metrics = appMetrics(env.metrics);
    this.#timeline = new Timeline(env.clock, (entry, lostMs) => this.#onTimeline(entry, lostMs));
    this.#hooks = new HookRunner(name, host.node, this.#env);
    this.#leaders = new LeaderWatch({
      node: host.node,
      hook: options.hooks.onLeaderChange,
      hooks: this.#hooks,
      timeline: this.#timeline,
    });
    this.#holdOff = new HoldOff(env.clock, env.random);
    this.#tasks = new TaskGroup((error, task) =>
      this.#env.log.error('app_task_failed', { task, error: messageOf(error) }),
    );
    this.#board = new RouteBoard({
      app: name,
      node: host.node,
      leader: () => this.#candidacy?.leader,
      member: host.member,
      members: host.members,
    });
    this.#proxy =
      options.proxy === undefined
        ? undefined
        : new AppProxy({ app: name, target: this.#board, options: options.proxy }, this.#env);
  }

  get role(): AppRole {
    if (this.state === 'stopped' || this.state === 'failed') return 'stopped';
    if (this.#candidacy === undefined) return 'starting';
    const { phase } = this.#coordinator?.state ?? { phase: 'standby' };
    if (phase === 'rising') return 'promoting';
    if (phase === 'active') return 'active';
    if (phase === 'falling') return 'demoting';
    return idleRole(this.#keeper?.status(), this.#keeper?.problem !== undefined);
  }

  /** Whether requests are answered here at this moment, from the clock. */
  get serving(): boolean {
    return this.#board.term?.isValid() ?? false;
  }

  /** Of the term that this node is in. */
  get epoch(): number | undefined {
    const state = this.#coordinator?.state;
    return state === undefined || state.phase === 'standby' ? undefined : state.epoch;
  }

  /** As this node sees it. */
  get leader(): string | undefined {
    const known = this.#candidacy?.leader;
    if (known !== undefined) return known.id;
    const route = this.#board.route();
    return route.kind === 'remote' ? route.node : undefined;
  }

  protected get database(): Promotable | undefined {
    return this.#keeper?.database;
  }

  /** `host:port` where this node's proxy for the app listens. */
  get proxyAddress(): string | undefined {
    if (this.#proxy?.port === undefined) return undefined;
    const { host } = this.#options.proxy as NonNullable<ResolvedAppOptions['proxy']>;
    const shown = host === '0.0.0.0' || host === '::' ? this.#host.address : host;
    return `${shown.includes(':') ? `[${shown}]` : shown}:${this.#proxy.port}`;
  }

  /** Gives up being active; another node takes over. Resolves when it has been given up. APP_NOT_ACTIVE. */
  async stepDown(): Promise<void> {
    await leave(this.name, this.#host.node, this.#candidacy, (candidacy) => candidacy.stepDown());
  }

  /** As `stepDown`, naming the node that should take over. APP_NOT_ACTIVE, HANDOFF_TARGET_INVALID. */
  async handoff(to: string): Promise<void> {
    const problem = handoffProblem(this.name, this.#host.node, to, this.#host.member(to));
    if (problem !== undefined) throw platformErrors.create('HANDOFF_TARGET_INVALID', { app: this.name, to, problem });
    await leave(this.name, this.#host.node, this.#candidacy, (candidacy) => candidacy.handoff(to));
  }

  status(): AppStatus {
    return appStatus(this.#parts());
  }

  /** The app's part of the membership record. */
  record(): MemberApp {
    const record = appRecord(this.#parts());
    if (record.lagMs === undefined) this.#metrics.databaseLag.remove({ app: this.name });
    else this.#metrics.databaseLag.set(record.lagMs / 1000, { app: this.name });
    return record;
  }

  /** For the platform: the members have changed. */
  membersChanged(): void {
    this.#board.notify();
  }

  protected async onStart({ signal }: StartOptions): Promise<void> {
    const { options, host } = { options: this.#options, host: this.#host };
    // The proxy first: a taken port is told before anything runs, and requests wait instead of being refused.
    await this.#proxy?.start({ signal });
    const stateDir = join(host.dataDir, this.name);
    try {
      makeDirectory(stateDir);
    } catch (error) {
      throw platformErrors.create('DATA_DIR_UNUSABLE', { directory: stateDir, problem: messageOf(error) }, error);
    }
    const lease = host.warden(this.name);
    const { platform, node, connection } = host;
    const context = { platform, app: this.name, node, env: this.#env, guard: lease ?? noGuard };
    this.#backend = options.backend?.open({ ...context, stateDir });
    await this.#backend?.sweep();
    if (options.database !== undefined) {
      this.#keeper = new DatabaseKeeper({
        provider: options.database,
        context: { ...context, connection },
        onEvent: (event) => this.#onDatabase(event),
      });
      await this.#keeper.start(signal);
    }
    await this.#hooks.run('onStart', options.hooks.onStart, {}, signal);
    this.#steps = new TermSteps({
      options,
      keeper: this.#keeper,
      access: this.access,
      backend: this.#backend,
      proxy: this.#proxy,
      board: this.#board,
      hooks: this.#hooks,
      timeline: this.#timeline,
      patience: (shortMs) => this.#patience(shortMs),
      clock: this.#env.clock,
      log: this.#env.log,
    });
    this.#coordinator = this.#makeCoordinator(this.#steps);
    const backend = this.#backend;
    const onFailed = (reason: string): void => this.#failTerm(reason);
    if (backend !== undefined)
      this.#tasks.run('backend', (stopped) => watchBackend(backend, this.#env.log, onFailed, stopped));
    void this.#steps.standby();
    const candidacy = this.#makeCandidacy(lease);
    if (this.#keeper?.obstacle !== undefined) candidacy.allow(false, this.#keeper.obstacle);
    this.#candidacy = candidacy;
    await candidacy.start(signal);
    if (this.#keeper === undefined) return;
    const [isIdle, onChanged] = [() => this.epoch === undefined, () => this.#host.onChanged()];
    const parts = { clock: this.#env.clock, keeper: this.#keeper, steps: this.#steps, candidacy, isIdle, onChanged };
    this.#standing = new Standing(parts);
    this.#standing.start();
  }

  protected async onStop(): Promise<void> {
    this.#standing?.stop();
    await this.#candidacy?.stop();
    const { epoch } = this;
    if (epoch !== undefined) this.#coordinator?.fall(epoch, { reason: 'stop', leaseHeld: false, isFailure: false });
    await this.#coordinator?.idle();
    const settled = this.#steps?.settled() ?? Promise.resolve();
    // What has not settled by then, the end of the database ends.
    await withDeadline(this.#env.clock, 'settling', SETTLE_AT_STOP_MS, settled).catch(() => {});
    if (this.#candidacy !== undefined)
      await this.#hooks
        .run('onStop', this.#options.hooks.onStop, {})
        .catch((error: unknown) => this.#timeline.add('hook_failed', { detail: messageOf(error) }));
    await this.#backend?.stop(graceful(this.#options.stopGraceMs));
    if (this.#proxy?.state === 'running') await this.#proxy.stop();
    await this.#keeper?.stop();
    await this.#tasks.stop();
  }

  #makeCoordinator(steps: TermSteps): Coordinator {
    return new Coordinator(
      {
        app: this.name,
        steps: steps.steps,
        undos: steps.undos,
        ...coordinatorBounds(this.#options, (shortMs) => this.#patience(shortMs)),
        onGivenUp: (leadership, fall) => this.#onGivenUp(leadership, fall),
        onChanged: () => this.#onChanged(),
      },
      this.#env,
    );
  }

  #makeCandidacy(lease: LeaseWatchdog | undefined): Candidacy {
    const { platform, node, session } = this.#host;
    const { election } = this.#options;
    return new Candidacy(
      {
        options: () => {
          const database = this.#keeper?.status();
          return electionOptions({ app: this.name, platform, node, session: session(), election, lease, database });
        },
        onElected: (leadership) => this.#onElected(leadership),
        onDemoted: async ({ leadership, reason }) => {
          this.#fall(leadership, reason);
          await this.#coordinator?.givenUp(leadership.epoch);
        },
        onLeader: (leader, epoch) => {
          if (leader !== undefined) this.#leaders.seen(leader, epoch);
          this.#board.notify();
        },
      },
      this.#env,
    );
  }

  #onElected(leadership: Leadership): void {
    const { epoch, signal } = leadership;
    this.#leaders.elected(epoch);
    this.#metrics.epoch.set(epoch, { app: this.name });
    const { leftMs } = this.#holdOff;
    if (leftMs > 0) {
      // Won while it should stay out (the rest was not asked of the election, or it stands anew): hand it on.
      this.#timeline.add('held_off', { epoch, detail: `${Math.round(leftMs)} ms` });
      this.#candidacy?.stepDown({ holdOffMs: leftMs }).catch(() => {});
      return;
    }
    signal.addEventListener('abort', () => this.#fall(leadership, reasonOf(signal)), { once: true });
    this.#coordinator?.elected(leadership);
    if (signal.aborted) this.#fall(leadership, reasonOf(signal));
  }

  /** The election ended the term. */
  #fall(leadership: Leadership, reason: string): void {
    const { epoch } = leadership;
    const fall = departure(leadership, reason, this.#env.clock);
    if (this.epoch === epoch && this.role !== 'demoting')
      this.#timeline.add(fall.leaseHeld ? 'stepping_down' : 'lost', { epoch, detail: reason });
    this.#coordinator?.fall(epoch, fall);
  }

  /** Something on this node ended the term. */
  #failTerm(reason: string, event: TimelineEventName = 'failed'): void {
    const { epoch } = this;
    if (epoch === undefined) return;
    this.#timeline.add(event, { epoch, detail: reason });
    this.#coordinator?.fall(epoch, { reason, leaseHeld: event !== 'fenced', isFailure: true });
  }

  #onGivenUp(leadership: Leadership, fall: Fall): void {
    this.#timeline.add('given_up', { epoch: leadership.epoch, detail: fall.reason });
    const holdOffMs = this.#holdOff.ended(fall.isFailure);
    if (!fall.isFailure) return;
    this.#problem = fall.reason;
    this.#metrics.stepFailures.add(1, { app: this.name });
    this.#timeline.add('held_off', { epoch: leadership.epoch, detail: `${Math.round(holdOffMs)} ms` });
    // Rejects when the term has been lost meanwhile: then there is nothing to give up.
    if (leadership.isValid()) this.#candidacy?.stepDown({ holdOffMs }).catch(() => {});
  }

  #patience(shortMs: number): number {
    const canAnother = canAnotherTakeOver(this.name, this.#host.node, this.#host.members());
    return patienceMs(this.#options.promoteTimeoutMs, shortMs, canAnother, this.#holdOff.failures);
  }

  #onChanged(): void {
    const state = this.#coordinator?.state;
    this.#metrics.active.set(state?.phase === 'active' ? 1 : 0, { app: this.name });
    this.#board.notify();
    this.#host.onChanged();
  }

  #onDatabase(event: DatabaseEvent): void {
    this.access.heard(event);
    const verdict = noteDatabaseEvent(event, this.epoch, this.#timeline, this.#env.log);
    if (verdict !== undefined) this.#failTerm(verdict.reason, verdict.event);
    this.#standing?.look();
    if (event.type === 'role_changed' || event.type === 'failed') this.#host.onChanged();
  }

  #parts(): AppParts {
    return {
      app: this.name,
      node: this.#host.node,
      role: this.role,
      serving: this.serving,
      epoch: this.epoch,
      leader: this.leader,
      leaderEpoch: this.#leaders.epoch,
      holdOff: this.#holdOff,
      problem: (this.epoch === undefined ? this.#keeper?.obstacle : this.#keeper?.problem) ?? this.#problem,
      options: this.#options,
      election: this.#candidacy?.status(),
      database: this.#keeper?.status(),
      backend: this.#backend?.status(),
      proxy: this.#proxy,
      proxyAddress: this.proxyAddress,
      route: this.#board.route(),
      timeline: this.#timeline.entries(),
    };
  }

  #onTimeline(entry: TimelineEntry, lostMs: number | undefined): void {
    const { event, ms, epoch, detail } = entry;
    this.#env.log.info('app_transition', { transition: event, ms, epoch, detail });
    this.#metrics.transitions.add(1, { app: this.name, event });
    if (event === 'serving') {
      this.#holdOff.served();
      if (lostMs !== undefined) this.#metrics.failover.observe(lostMs / 1000, { app: this.name });
      this.#problem = undefined;
      this.#metrics.serving.set(1, { app: this.name });
      this.#host.onChanged();
    } else if (event === 'gate_closed') {
      this.#metrics.serving.set(0, { app: this.name });
      this.#host.onChanged();
    }
  }
}
