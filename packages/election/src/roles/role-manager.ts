/**
 * Many roles of one instance over one connection, one bucket and one watch. Each role is an Election of its own: states,
 * terms, hooks and failures of one do not touch another.
 */
import { backoffMs, type Env, Lifecycle, messageOf, type StartOptions, systemEnv, TaskGroup } from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import type { ElectionStatus } from '../api.ts';
import type { ElectionStopOptions } from '../call-options.ts';
import { Election } from '../election.ts';
import { electionErrors } from '../errors.ts';
import { openBucket } from '../opening.ts';
import { type ElectionOptions, resolveElectionOptions } from '../options.ts';
import { SharedWatchKv } from './shared-watch.ts';
import { SlotClock } from './slot-clock.ts';

/** As for an election, without what is a role's own: these are the defaults of every role. */
export type RoleManagerOptions = Omit<ElectionOptions, 'group' | 'kv' | 'watchdog' | 'warden'>;
/** What one role has different. */
export type RoleOptions = Omit<
  ElectionOptions,
  'group' | 'kv' | 'session' | 'connection' | 'servers' | 'bucket' | 'warden'
>;

/** `start()` opens the bucket; roles are added then, at any time. `stop()` gives all of them up. */
export class RoleManager extends Lifecycle {
  readonly #options: RoleManagerOptions;
  readonly #env: Env;
  /** That of the roles: their timers fire together. */
  readonly #roleEnv: Env;
  readonly #roles = new Map<string, Election>();
  readonly #tasks: TaskGroup;
  #own: NatsSession | undefined;
  #session: NatsSession | undefined;
  #kv: SharedWatchKv | undefined;
  #stopOptions: ElectionStopOptions = {};

  /** Throws OPTIONS_INVALID. Does no I/O. */
  constructor(options: RoleManagerOptions, env: Env = systemEnv()) {
    // Options that are none at all are refused here, as the others.
    super(`roles of ${(options as RoleManagerOptions | undefined)?.instanceId}`);
    resolveElectionOptions({ ...options, group: 'role' }, env);
    this.#options = options;
    this.#env = env;
    this.#roleEnv = { ...env, clock: new SlotClock(env.clock) };
    this.#tasks = new TaskGroup((error) => this.fail(error));
  }

  /** The groups that have been added. */
  get groups(): readonly string[] {
    return [...this.#roles.keys()];
  }

  /** The election of a group; undefined when it was not added. */
  role(group: string): Election | undefined {
    return this.#roles.get(group);
  }

  /** The groups that this instance leads at this moment. */
  get leading(): readonly string[] {
    return [...this.#roles].filter(([, election]) => election.isLeader).map(([group]) => group);
  }

  status(): Readonly<Record<string, ElectionStatus>> {
    return Object.fromEntries([...this.#roles].map(([group, election]) => [group, election.status()]));
  }

  /**
   * Stands for one more group and resolves when it has had its first look. `prepare` gets the election before it starts,
   * for its hooks. STATE_INVALID before `start()`, ROLE_EXISTS, OPTIONS_INVALID, and as the start of an election.
   */
  async add(
    group: string,
    options: Partial<RoleOptions> = {},
    prepare?: (election: Election) => void,
  ): Promise<Election> {
    this.require('add a role', 'running');
    if (this.#roles.has(group)) throw electionErrors.create('ROLE_EXISTS', { group });
    const { connection: _connection, servers: _servers, ...shared } = this.#options;
    const place = { session: this.#session, kv: this.#kv, bucket: (this.#kv as Kv).bucket };
    const election = new Election({ ...shared, ...options, ...place, group }, this.#roleEnv);
    prepare?.(election);
    this.#roles.set(group, election);
    try {
      await election.start();
      return election;
    } catch (error) {
      this.#forget(group);
      throw error;
    }
  }

  /** Gives the group up and stands for it no more. */
  async remove(group: string, options: ElectionStopOptions = {}): Promise<void> {
    const election = this.#roles.get(group);
    await election?.stop(options);
    if (this.#roles.get(group) === election) this.#forget(group);
  }

  #forget(group: string): void {
    this.#roles.delete(group);
    this.#kv?.forget(group);
  }

  /** As the stop of an election, for all of them at the same time. */
  override stop(options: ElectionStopOptions = {}): Promise<void> {
    if (this.state !== 'stopping' && this.state !== 'stopped') this.#stopOptions = options;
    return super.stop();
  }

  protected async onStart({ signal }: StartOptions): Promise<void> {
    const { connection, servers, instanceId } = this.#options;
    const resolved = resolveElectionOptions({ ...this.#options, group: 'role' }, this.#env);
    const name = `canopy-roles-${instanceId}`;
    if (connection !== undefined || servers !== undefined)
      this.#own = await connectNats(resolved.connection as { servers: string[] }, { name, env: this.#env, signal });
    this.#session = this.#own ?? this.#options.session;
    const kv = new SharedWatchKv(await openBucket(resolved, this.#session, this.#env, signal));
    this.#kv = kv;
    this.#tasks.run('watch', (stopped) => this.#follow(kv, stopped));
  }

  protected async onStop(): Promise<void> {
    const stopping = [...this.#roles.values()].map((election) => election.stop(this.#stopOptions));
    await Promise.all(stopping);
    await this.#tasks.stop();
    await this.#own?.close();
  }

  /** A watch that ends all the same is begun again; the elections read and poll meanwhile. */
  async #follow(kv: SharedWatchKv, signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      await kv.run(signal).catch((error: unknown) => {
        if (!signal.aborted) this.#env.log.warn('watch_failed', { error: messageOf(error) });
      });
      const waitMs = backoffMs(attempt, { initialMs: 100, maxMs: 5000 }, this.#env.random);
      await this.#env.clock.sleep(waitMs, { signal }).catch(() => {});
    }
  }
}
