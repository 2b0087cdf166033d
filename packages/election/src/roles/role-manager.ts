/**
 * Many roles of one instance over one connection, one bucket and one watch. Each role is an Election of its own: states,
 * terms, hooks and failures of one do not touch another.
 */
import {
  backoffMs,
  type Env,
  Lifecycle,
  messageOf,
  parseDuration,
  type StartOptions,
  systemEnv,
  TaskGroup,
} from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import type { ElectionStatus } from '../api.ts';
import type { ElectionStopOptions } from '../call-options.ts';
import { Election } from '../election.ts';
import { electionErrors } from '../errors.ts';
import { openBucket } from '../opening.ts';
import { type ElectionOptions, resolveElectionOptions } from '../options.ts';
import { Warden, type WardenLease } from '../warden/index.ts';
import type { FenceCommand } from '../warden/protocol.ts';
import type { Fence } from '../warden-option.ts';
import { SharedWatchKv } from './shared-watch.ts';
import { SlotClock } from './slot-clock.ts';

/**
 * As for an election, without what is a role's own: these are the defaults of every role. `warden` is one process for all
 * of them; its `fence` is run for a role that names none of its own.
 */
export type RoleManagerOptions = Omit<ElectionOptions, 'group' | 'kv' | 'watchdog'>;
/** What one role has different. */
export type RoleOptions = Omit<
  ElectionOptions,
  'group' | 'kv' | 'session' | 'connection' | 'servers' | 'bucket' | 'warden'
> & {
  /** With the manager's `warden`: what ends that which runs under this role, instead of the manager's `fence`. */
  readonly fence?: readonly Fence[];
};

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
  readonly #warden: Warden | undefined;

  /** Throws OPTIONS_INVALID. Does no I/O. */
  constructor(options: RoleManagerOptions, env: Env = systemEnv()) {
    // Options that are none at all are refused here, as the others.
    super(`roles of ${(options as RoleManagerOptions | undefined)?.instanceId}`);
    const { warden } = resolveElectionOptions({ ...options, group: 'role' }, env);
    if (warden !== undefined) {
      const { connection, drainMs } = warden;
      this.#warden = new Warden({ connection, node: options.instanceId, drainMs }, env);
    }
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
    const { connection: _connection, servers: _servers, warden: _warden, ...shared } = this.#options;
    const { fence, ...own } = options;
    const guard = this.#guardOf(group, options);
    const place = { session: this.#session, kv: this.#kv, bucket: (this.#kv as Kv).bucket };
    const watchdog = guard === undefined ? {} : { watchdog: guard.lease };
    const election = new Election({ ...shared, ...own, ...place, ...watchdog, group }, this.#roleEnv);
    prepare?.(election);
    this.#roles.set(group, election);
    try {
      await guard?.lease.fences(guard.fences);
      await election.start();
      return election;
    } catch (error) {
      await this.#forget(group);
      throw error;
    }
  }

  /** Its lease with the warden, and what is to be run for it. A watchdog of the role's own takes the warden's place. */
  #guardOf(
    group: string,
    options: Partial<RoleOptions>,
  ): { lease: WardenLease; fences: readonly FenceCommand[] } | undefined {
    const { warden } = this.#options;
    const fence = options.fence ?? warden?.fence;
    if (this.#warden === undefined || options.watchdog !== undefined) {
      if (options.fence !== undefined) throw electionErrors.create('ROLE_UNGUARDED', { group });
      return undefined;
    }
    const chosen = { ...this.#options, group, warden: { ...warden, ...(fence === undefined ? {} : { fence }) } };
    const { warden: resolved } = resolveElectionOptions(chosen, this.#env);
    return { lease: this.#warden.lease(group), fences: resolved?.fences ?? [] };
  }

  /** Gives the group up and stands for it no more. */
  async remove(group: string, options: ElectionStopOptions = {}): Promise<void> {
    const election = this.#roles.get(group);
    await election?.stop(options);
    if (this.#roles.get(group) === election) await this.#forget(group);
  }

  async #forget(group: string): Promise<void> {
    this.#roles.delete(group);
    this.#kv?.forget(group);
    await this.#warden?.forget(group);
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
    await this.#warden?.start({ signal });
    const kv = new SharedWatchKv(await openBucket(resolved, this.#session, this.#env, signal));
    this.#kv = kv;
    this.#tasks.run('watch', (stopped) => this.#follow(kv, stopped));
  }

  protected async onStop(): Promise<void> {
    const stopping = [...this.#roles.values()].map((election) => election.stop(this.#stopOptions));
    await Promise.all(stopping);
    await this.#tasks.stop();
    const timeoutMs = parseDuration(this.#stopOptions.timeout);
    await this.#warden?.stop({ timeoutMs });
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
