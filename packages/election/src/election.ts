/**
 * The shell around the machine: owns the bucket, the watch, the terms and the hooks; performs effects and feeds what
 * comes of them. Invariant: whoever asks `isLeader` gets the answer of the clock, not of the last event.
 */
import {
  type Env,
  type Epoch,
  Lifecycle,
  type Logger,
  type ProcessGuard,
  parseDuration,
  type StartOptions,
  systemEnv,
  TaskGroup,
  withDeadline,
} from '@canopy/core';
import type { ElectionEvent, ElectionStatus, Leadership } from './api.ts';
import type { ElectionStopOptions, StepDownOptions, WaitOptions } from './call-options.ts';
import { Departure } from './departure.ts';
import { Driver } from './driver.ts';
import { electionErrors } from './errors.ts';
import { FailsafeLink } from './failsafe/failsafe-link.ts';
import { type DemoteHook, type HookOptions, Hooks, type PromoteHook } from './hooks.ts';
import { LeaseKey } from './lease-key.ts';
import { isHolding } from './machine/holding.ts';
import { observedEpoch } from './machine/standing.ts';
import type { Effect } from './machine/state.ts';
import { ElectionMetrics } from './metrics.ts';
import { type Opened, openElection } from './opening.ts';
import { type ElectionOptions, type ResolvedElectionOptions, resolveElectionOptions } from './options.ts';
import { OwnWarden } from './own-warden.ts';
import { Publication } from './publication.ts';
import { Requests } from './requests.ts';
import { SelfChecks } from './self-checks.ts';
import { statusOf } from './status.ts';
import { Tenure } from './tenure.ts';
import { Waiting } from './waiting.ts';
import { WardenLease } from './warden/index.ts';
import { followSession, KeyWatch } from './watching.ts';

/**
 * A candidate for the leadership of one group. Runs once: make a new one after `stop()`. Hooks may be registered at any
 * time; those registered before `start()` miss no term.
 */
export class Election extends Lifecycle {
  readonly group: string;
  readonly instanceId: string;
  readonly #env: Env;
  readonly #options: ResolvedElectionOptions;
  readonly #log: Logger;
  readonly #metrics: ElectionMetrics;
  readonly #hooks: Hooks;
  readonly #driver: Driver;
  readonly #departure: Departure;
  readonly #tenure: Tenure;
  readonly #tasks: TaskGroup;
  readonly #publication: Publication;
  readonly #waiting: Waiting;
  readonly #checks: SelfChecks;
  readonly #warden: OwnWarden | undefined;
  readonly #ended = new AbortController();
  #opened: Opened | undefined;
  #requests: Requests | undefined;
  #failsafe: FailsafeLink | undefined;
  #connected = false;
  #stopOptions: ElectionStopOptions = {};

  /** Throws OPTIONS_INVALID. Does no I/O. */
  constructor(options: ElectionOptions, env: Env = systemEnv()) {
    // Options that are none at all are refused below.
    super(`election of group ${(options as ElectionOptions | undefined)?.group}`);
    this.#env = env;
    this.#options = resolveElectionOptions(options, env);
    const { group, bucket, rules, hookTimeoutMs, correlationId } = this.#options;
    this.group = group;
    this.instanceId = rules.instanceId;
    const fields = correlationId === undefined ? {} : { correlation_id: correlationId };
    this.#log = env.log.with({ instance_id: rules.instanceId, group, bucket, ...fields });
    this.#metrics = new ElectionMetrics(env, group, rules.instanceId, bucket);
    this.#hooks = new Hooks(env.clock, this.#log, hookTimeoutMs);
    this.#driver = new Driver(env.clock, rules, (effect) => this.#perform(effect));
    const term = (): Leadership | undefined => this.#tenure.leadership;
    this.#departure = new Departure({ group, rules, driver: this.#driver, term });
    this.#warden = this.#options.warden && new OwnWarden(this.#options.warden, rules.instanceId, group, env);
    this.#checks = new SelfChecks({
      options: this.#options,
      clock: env.clock,
      log: this.#log,
      metrics: this.#metrics,
      leadership: () => this.leadership,
      leave: (reason, holdOffMs) => this.#departure.begin({ reason, holdOffMs }),
    });
    this.#tenure = new Tenure({
      options: this.#options,
      watchdog: this.#warden?.lease ?? this.#options.watchdog,
      clock: env.clock,
      log: this.#log,
      metrics: this.#metrics,
      hooks: this.#hooks,
      floor: async () => this.#requests?.floor ?? 0,
      feed: (event) => this.#driver.feed(event),
      onUnguarded: () => this.#departure.begin({ reason: 'warden_lost' }),
    });
    this.#publication = new Publication({
      clock: env.clock,
      log: this.#log,
      metrics: this.#metrics,
      present: () => ({ state: this.#driver.state.view, leaderId: this.leaderId, epoch: this.epoch }),
    });
    this.#waiting = new Waiting({
      clock: env.clock,
      group,
      driver: this.#driver,
      hooks: this.#hooks,
      ended: this.#ended.signal,
      present: () => this.leadership,
    });
    this.#tasks = new TaskGroup((error, task) => {
      this.#log.error('election_task_failed', { task, error: error.message });
      this.fail(error);
    });
  }

  /** Whether this instance leads at this moment, by its own clock; tens of nanoseconds. */
  get isLeader(): boolean {
    return this.#tenure.leadership?.isValid() ?? false;
  }

  /**
   * With the `warden` option, or a warden's lease as the watchdog: where processes that may only run under the lease are
   * registered (see `ProcessGuard`), so that the warden ends them before the lease can move. Without: undefined.
   */
  get processes(): ProcessGuard | undefined {
    const { watchdog } = this.#options;
    return this.#warden?.lease ?? (watchdog instanceof WardenLease ? watchdog : undefined);
  }

  /** The present term, while it is valid. */
  get leadership(): Leadership | undefined {
    return this.isLeader ? this.#tenure.leadership : undefined;
  }

  /** The leader as far as known; undefined while there is none. */
  get leaderId(): string | undefined {
    const { leaderId } = this.#driver.state;
    return leaderId === this.instanceId && !this.isLeader ? undefined : leaderId;
  }

  /** The leader's epoch as far as known. */
  get epoch(): Epoch | undefined {
    if (this.isLeader) return this.#tenure.leadership?.epoch;
    return observedEpoch(this.#driver.state) as Epoch | undefined;
  }

  status(): ElectionStatus {
    return statusOf({
      state: this.#driver.state,
      leading: this.#tenure.leadership,
      now: this.#env.clock.monotonic(),
      leaderId: this.leaderId,
      epoch: this.epoch,
      lastHeartbeat: this.#tenure.lastHeartbeat,
      lastTransition: this.#publication.lastTransition,
      connected: this.#connected,
    });
  }

  /** The present state first, then every change. A reader 256 events behind loses the oldest. Ends with the election. */
  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<ElectionEvent> {
    return this.#publication.watch(options);
  }

  /**
   * Runs `hook` at the start of each term, for as long as it likes; it ends its work when `leadership.signal` aborts, within
   * `options.timeout`. Returns a function that unregisters it. What it throws is logged. OPTIONS_INVALID.
   */
  onPromote(hook: PromoteHook, options?: HookOptions): () => void {
    return this.#hooks.onPromote(hook, options);
  }

  /**
   * Runs `hook` once at the end of each term, after its signal aborted and its work ended. On a planned departure the
   * lease is renewed until the hook has ended, then released. A hook that rejects, or takes longer than its `timeout`,
   * leaves the lease to run out instead. The next term of this instance begins after it, or after the timeout.
   */
  onDemote(hook: DemoteHook, options?: HookOptions): () => void {
    return this.#hooks.onDemote(hook, options);
  }

  /**
   * Resolves with the term once this instance leads; at once when it does. It may have ended by the time that you look:
   * see `lead`. DEADLINE_EXCEEDED, ELECTION_STOPPED, OPTIONS_INVALID, the signal's reason.
   */
  async waitForLeadership(options: WaitOptions = {}): Promise<Leadership> {
    return this.#waiting.term(options);
  }

  /**
   * Waits for leadership and runs `work` under it, once. Its signal aborts in time; the term's end waits for it (within
   * `hookTimeout`). Settles as `work` does; without its having begun, rejects as `waitForLeadership`.
   */
  async lead<T>(work: (leadership: Leadership) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return this.#waiting.work(work, options);
  }

  /**
   * Gives the leadership up: signal, hooks, release. Resolves when done. ELECTION_NOT_LEADER, OPTIONS_INVALID;
   * ELECTION_NOT_RELEASED when the term has ended but its lease has to run out. The end of a term waits for its hooks: a
   * hook, or work under `lead`, that calls this must not await it.
   */
  async stepDown(options: StepDownOptions = {}): Promise<void> {
    await this.#departure.stepDown(options);
  }

  /**
   * As `stepDown`, naming who should take over; the others keep away for max(500 ms, ttl / 10), then anyone may.
   * As `stepDown`, and ELECTION_HANDOFF_TARGET.
   */
  async handoff(to: string, options: { holdOffMs?: number } = {}): Promise<void> {
    await this.#departure.handoff(to, options);
  }

  /**
   * Reads the lease and compares its token with ours: false when it is not ours. A look, not a guarantee: what is
   * written under the term must carry its epoch. Rejects when the bucket does not answer within `timeoutMs` (2 s).
   */
  async validateToken(options: { timeoutMs?: number } = {}): Promise<boolean> {
    return (await this.#checks.look(options.timeoutMs)) === undefined;
  }

  /** As `validateToken`; when the lease is not ours, or can't be read, leadership is given up. */
  async validateTokenOrDemote(options: { timeoutMs?: number } = {}): Promise<boolean> {
    if (await this.validateToken(options).catch(() => false)) return true;
    if (this.isLeader) this.#departure.begin({ reason: 'token_validation_failure' });
    return false;
  }

  /** Idempotent. A leader gives the leadership up first; see the options. Never rejects for being late. */
  override stop(options: ElectionStopOptions = {}): Promise<void> {
    if (this.state !== 'stopping' && this.state !== 'stopped') this.#stopOptions = options;
    return super.stop();
  }

  protected async onStart({ signal }: StartOptions): Promise<void> {
    const { requestTimeoutMs, cappedGraceMs, rules } = this.#options;
    const { clock } = this.#env;
    if (cappedGraceMs !== undefined)
      this.#log.warn('disconnect_grace_capped', { asked_ms: cappedGraceMs, grace_ms: rules.graceMs });
    const [opened] = await Promise.all([this.#open(signal), this.#warden?.start(signal)]);
    const { kv, session, record, recorded } = opened;
    const feed = this.#driver.feed.bind(this.#driver);
    const place = { kv, key: this.group, env: this.#env, log: this.#log };
    const watch = new KeyWatch({ ...place, tasks: this.#tasks, feed, boundMs: requestTimeoutMs });
    this.#requests = new Requests({
      key: new LeaseKey(kv, this.group, clock, requestTimeoutMs),
      record,
      recorded,
      clock,
      log: this.#log,
      metrics: this.#metrics,
      cleared: () => this.#tenure.cleared,
      watching: () => watch.begin(),
      holding: () => isHolding(this.#driver.state),
      onRenewal: () => this.#checks.beat(),
      feed,
    });
    this.#checks.begin(kv, this.#tasks);
    this.#connected = session?.status().connected ?? true;
    this.#metrics.connected(this.#connected);
    this.#failsafe = FailsafeLink.over(session, this.#options, this.#env, this.#log, feed);
    this.#tasks.run('failsafe', async (stopped) => this.#failsafe?.run(stopped));
    if (session !== undefined) {
      const onConnection = (up: boolean): void => this.#setConnected(up);
      this.#tasks.run('session', async (stopped) => {
        await followSession(session, this.#log, onConnection, stopped);
        if (!stopped.aborted) throw electionErrors.create('ELECTION_CONNECTION_CLOSED', { group: this.group });
      });
    }
    // A vacant lease waits for a look only; until the watch begins, too, the machine is blind.
    feed({ type: 'interrupted' });
    feed({ type: 'start' });
    // Ready: the first look at the key has been answered, or could not be.
    await this.#driver.until((s) => s.observed.kind !== 'unknown' || s.failures > 0, signal);
    void watch.begin();
    const { ttlMs, heartbeatMs, priority } = rules;
    this.#log.info('election_started', { ttl_ms: ttlMs, heartbeat_ms: heartbeatMs, priority });
  }

  protected async onStop(): Promise<void> {
    const { deleteKey = true, waitForDemote = true } = this.#stopOptions;
    const { requestTimeoutMs } = this.#options;
    const { clock } = this.#env;
    // A stop is no place to fail for an odd number.
    const timeoutMs = parseDuration(this.#stopOptions.timeout) ?? this.#hooks.boundMs + 5 * requestTimeoutMs;
    const until = clock.monotonic() + timeoutMs;
    this.#departure.begin({ reason: 'stop', keepKey: !deleteKey, final: true });
    const done = this.#driver.until((s) => s.phase === 'stopped');
    const finish = async (): Promise<void> => {
      await withDeadline(clock, 'stop of the election', timeoutMs, done).catch(() =>
        this.#log.warn('shutdown_timeout', { timeout_ms: timeoutMs }),
      );
      this.#driver.feed({ type: 'abandoned' });
      this.#driver.close(this.#stopped());
      this.#tenure.end('stop');
      await withDeadline(clock, 'watchdog', Math.max(0, until - clock.monotonic()), this.#tenure.cleared).catch(
        () => {},
      );
    };
    const finishing = finish();
    if (waitForDemote) await finishing;
    await this.#tasks.stop();
    this.#end();
    // What still ends in the background needs its connection and its watchers until then.
    const closed = finishing.then(() => this.#close(until));
    if (waitForDemote) await closed;
    else void closed;
  }

  protected override onNeverStarted(): void {
    this.#departure.begin({ reason: 'stop', final: true });
    this.#driver.close(this.#stopped());
    this.#end();
    this.#publication.close();
  }

  /** Whoever waits hears of the end. */
  #end(): void {
    this.#ended.abort(this.#stopped());
    this.#metrics.remove();
  }

  async #open(signal: AbortSignal | undefined): Promise<Opened> {
    this.#opened = await openElection(this.#options, this.#env, this.#log, signal);
    return this.#opened;
  }

  async #close(until: number): Promise<void> {
    const left = (): number => Math.max(0, until - this.#env.clock.monotonic());
    await this.#warden?.stop(left());
    const closed = this.#opened?.close() ?? Promise.resolve();
    await withDeadline(this.#env.clock, 'close', left(), closed).catch(() => {});
    this.#publication.close();
    this.#log.info('election_stopped');
  }

  #stopped(): Error {
    const { group, instanceId } = this;
    return electionErrors.create('ELECTION_STOPPED', { group, instanceId });
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'read':
      case 'create':
      case 'update':
      case 'delete':
        return void this.#requests?.perform(effect);
      case 'guard':
        return void this.#tenure.guard(effect.term);
      case 'promote':
        this.#checks.reset();
        this.#opened?.record?.raise(effect.term.epoch);
        this.#tenure.promote(effect.term);
        return;
      case 'renewed':
        return void this.#tenure.renewed(effect.term, effect.tookMs);
      case 'extended':
        return void this.#tenure.extended(effect.term);
      case 'tell':
        return void this.#failsafe?.tell(effect.message);
      case 'demote':
        return void this.#tenure.demote(effect.token, effect.reason);
      case 'clear':
        return void this.#tenure.clear();
      case 'changed':
        return void this.#publication.changed(effect.from, effect.reason);
      case 'note':
        return void this.#log[effect.level](effect.event, effect.facts);
      case 'count':
        return void this.#metrics.count(effect.what);
    }
  }

  #setConnected(up: boolean): void {
    if (this.#connected === up) return;
    this.#connected = up;
    this.#metrics.connected(up);
    if (up) this.#log.info(this.isLeader ? 'connection_reconnected_before_grace_period' : 'connection_reconnected');
    else this.#log.warn('connection_disconnected');
    this.#driver.feed({ type: up ? 'connected' : 'disconnected' });
  }
}
