/**
 * Automatic failover: a manager that leads exactly while its election says that it may. Invariant: a valid term is never left without
 * somebody who tries to lead under it, and one that leads to nothing is given up; neither happens at speed.
 */
import { backoffMs, type Env, type Logger, messageOf, resolveOptions, systemEnv, TaskGroup } from '@canopy/core';
import type { LeaderElection } from '../ports/leadership.ts';
import type { ManagerEvents } from './events.ts';
import type { LeaderFollowerManager } from './manager.ts';

/** `Election` of `@canopy/election` fits. */
export interface WatchedElection extends LeaderElection {
  /** Yields whenever leadership may have changed; what it yields is not looked at. */
  watch(options: { signal: AbortSignal }): AsyncIterable<unknown>;
  /** Gives the term up, and stands again after `holdOffMs` at the earliest. Without it a term that leads to nothing is kept to its end. */
  stepDown?(options?: { holdOffMs?: number }): Promise<void>;
}

export interface FollowElectionOptions {
  /**
   * For so long the manager may fail to lead, or lose it again and again, while the term lasts: then the term is given up, and this node
   * keeps away for as long, so that another one leads. 100 to 3,600,000. Default 10,000.
   */
  readonly giveUpAfterMs?: number;
}

const RETRY = { initialMs: 50, maxMs: 2000 };
/** Between looks at a leader of whom nothing is heard. */
const CHECK_MS = 1000;

/**
 * Promotes the manager when this node is elected and demotes it when it is not any more, until the returned function is called (it resolves when
 * nothing of this runs). A manager that steps down while the term lasts is promoted again, ever more slowly; so is one whose promotion fails. After
 * `giveUpAfterMs` of that the term is given up, and at once after `manager.demote()`: another candidate leads then. The manager must have
 * this election as its `election`, so that a write is checked against it; and must have been started. Throws OPTIONS_INVALID.
 */
export function followElection(
  manager: LeaderFollowerManager,
  election: WatchedElection,
  options: FollowElectionOptions = {},
  env: Env = systemEnv(),
): () => Promise<void> {
  const following = new ElectionFollowing(manager, election, options, env);
  return () => following.stop();
}

class ElectionFollowing {
  readonly #manager: LeaderFollowerManager;
  readonly #election: WatchedElection;
  readonly #env: Env;
  readonly #log: Logger;
  readonly #giveUpAfterMs: number;
  readonly #tasks: TaskGroup;
  readonly #stopped = Promise.withResolvers<void>();
  #changed = Promise.withResolvers<void>();
  #term: LeaderElection['leadership'];
  #failures = 0;
  #notBefore = 0;
  /** Since then it has not led for long enough to count as well. */
  #troubledSince: number | undefined;
  #ledSince: number | undefined;
  #isUnwanted = false;

  constructor(manager: LeaderFollowerManager, election: WatchedElection, options: FollowElectionOptions, env: Env) {
    this.#giveUpAfterMs = resolveOptions('followElection', options, (reader) =>
      reader.durationMs('giveUpAfterMs', { default: 10_000, minMs: 100, maxMs: 3_600_000 }),
    );
    [this.#manager, this.#election, this.#env] = [manager, election, env];
    this.#log = env.log.with({ node: manager.getNodeId() });
    this.#tasks = new TaskGroup((error) => this.#log.error('replication_failover_ended', { error: messageOf(error) }));
    manager.on('demoted', this.#onDemoted);
    this.#tasks.signal.addEventListener('abort', () => this.#stopped.resolve(), { once: true });
    this.#tasks.run('watch the election', (signal) => this.#watch(signal));
    this.#tasks.run('follow the election', (signal) => this.#run(signal));
  }

  async stop(): Promise<void> {
    this.#manager.off('demoted', this.#onDemoted);
    await this.#tasks.stop();
  }

  readonly #onDemoted = ({ reason }: ManagerEvents['demoted']): void => {
    // Asked for under a term that lasts: leadership is to go elsewhere.
    if (reason === 'requested' && this.#isElected()) this.#isUnwanted = true;
    this.#wake();
  };

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #isElected(): boolean {
    return this.#election.leadership?.isValid() === true;
  }

  /** Until the election is over; a watch that fails begins again. */
  async #watch(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        for await (const _ of this.#election.watch({ signal })) {
          failures = 0;
          this.#wake();
        }
        return this.#wake();
      } catch (error) {
        if (signal.aborted) return;
        this.#log.warn('replication_election_unwatched', { error: messageOf(error) });
      }
      await this.#env.clock.sleep(backoffMs(failures++, RETRY, this.#env.random), { signal }).catch(() => {});
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#manager.isClosed()) {
      const next = this.#changed.promise;
      const waitMs = await this.#step().catch((error: Error) => {
        this.#log.warn('replication_failover_failed', { error: messageOf(error) });
        return this.#delayed();
      });
      if (signal.aborted) return;
      const waiting = new AbortController();
      const stop = AbortSignal.any([signal, waiting.signal]);
      const again = waitMs === undefined ? [] : [this.#env.clock.sleep(waitMs, { signal: stop }).catch(() => {})];
      await Promise.race([next, this.#stopped.promise, ...again]);
      waiting.abort();
    }
  }

  /** One look at election and manager. Resolves with when to look again, ms; undefined: when something changes. */
  async #step(): Promise<number | undefined> {
    const [manager, now] = [this.#manager, this.#env.clock.monotonic()];
    if (!this.#isElected()) {
      this.#forget(undefined);
      if (manager.getRole() === 'leader') await manager.demote();
      return undefined;
    }
    if (this.#election.leadership !== this.#term) this.#forget(this.#election.leadership);
    if (manager.getRole() === 'leader' && manager.hasLeaderLock()) {
      this.#ledSince ??= now;
      return CHECK_MS;
    }
    if (this.#ledSince !== undefined) {
      if (now - this.#ledSince >= this.#giveUpAfterMs) [this.#failures, this.#troubledSince] = [0, undefined];
      this.#ledSince = undefined;
      this.#delayed();
    }
    this.#troubledSince ??= now;
    const isHopeless = this.#isUnwanted || now - this.#troubledSince >= this.#giveUpAfterMs;
    if (isHopeless && this.#election.stepDown !== undefined) return this.#giveUp();
    if (now < this.#notBefore) return this.#notBefore - now;
    await manager.promote();
    this.#ledSince = this.#env.clock.monotonic();
    return CHECK_MS;
  }

  async #giveUp(): Promise<undefined> {
    const { lastError: error } = this.#manager.status();
    this.#log.warn('replication_leadership_given_up', this.#isUnwanted ? {} : { error });
    const leaving = this.#election.stepDown?.(this.#isUnwanted ? {} : { holdOffMs: this.#giveUpAfterMs });
    // Its term may have to run out; who stops need not wait for that.
    await Promise.race([leaving, this.#stopped.promise]);
    this.#isUnwanted = false;
    return undefined;
  }

  #forget(term: LeaderElection['leadership']): void {
    this.#term = term;
    [this.#failures, this.#notBefore, this.#troubledSince, this.#ledSince] = [0, 0, undefined, undefined];
    this.#isUnwanted = false;
  }

  /** The next attempt waits, longer each time. */
  #delayed(): number {
    const waitMs = backoffMs(this.#failures++, RETRY, this.#env.random);
    this.#notBefore = this.#env.clock.monotonic() + waitMs;
    return waitMs;
  }
}
