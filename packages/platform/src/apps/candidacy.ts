/**
 * Standing for election for as long as the app runs: an Election runs once and may fail (its warden died, or fenced it
 * during a freeze); this makes the next one, after a rest, until stopped. While it is not allowed to stand there is no
 * Election at all, and so no knowledge of the leader either.
 */
import { abortable, backoffMs, type Env, messageOf, TaskGroup } from '@canopy/core';
import { type Demotion, Election, type ElectionOptions, type ElectionStatus, type Leadership } from '@canopy/election';
import type { KnownLeader } from './route-board.ts';

const RETRY = { initialMs: 200, maxMs: 10_000 };

export interface CandidacyDeps {
  /** For each Election anew: the epoch floor may have grown. */
  readonly options: () => ElectionOptions;
  readonly onElected: (leadership: Leadership) => void;
  /** Awaited before the lease is released. */
  readonly onDemoted: (demotion: Demotion) => Promise<void>;
  /** The leader, as seen here, may have changed. */
  readonly onLeader: (leader: KnownLeader | undefined, epoch: number | undefined) => void;
}

export class Candidacy {
  readonly #deps: CandidacyDeps;
  readonly #env: Env;
  readonly #tasks: TaskGroup;
  #election: Election | undefined;
  #isAllowed = true;
  #allowed = Promise.withResolvers<void>();
  #departures = 0;

  constructor(deps: CandidacyDeps, env: Env) {
    this.#deps = deps;
    this.#env = env;
    this.#tasks = new TaskGroup((error, task) =>
      env.log.error('candidacy_task_failed', { task, error: messageOf(error) }),
    );
  }

  /** Undefined while no election runs here. */
  get leader(): KnownLeader | undefined {
    const election = this.#election;
    return election?.state === 'running' ? { id: election.leaderId } : undefined;
  }

  get leadership(): Leadership | undefined {
    return this.#election?.leadership;
  }

  status(): ElectionStatus | undefined {
    return this.#election?.status();
  }

  /** Resolves when the first Election runs, or at once when it may not stand; rejects as the Election's start does. */
  async start(signal?: AbortSignal): Promise<void> {
    const election = this.#isAllowed ? this.#make() : undefined;
    await election?.start({ signal });
    this.#tasks.run('stand', (stopped) => this.#stand(election, stopped));
  }

  /** Withdraws the candidacy, or takes it up again. A leader is not touched: ask again when it has stepped down. */
  allow(isAllowed: boolean, reason: string | undefined): void {
    if (isAllowed === this.#isAllowed) return;
    if (!isAllowed && (this.leadership !== undefined || this.#departures > 0)) return;
    this.#isAllowed = isAllowed;
    if (isAllowed) {
      this.#env.log.info('candidacy_resumed', {});
      this.#allowed.resolve();
    } else {
      this.#env.log.warn('candidacy_withdrawn', { reason });
      this.#allowed = Promise.withResolvers();
      void this.#election?.stop();
    }
  }

  /** ELECTION_NOT_LEADER when it does not lead. */
  stepDown(options: { holdOffMs?: number } = {}): Promise<void> {
    return this.#depart(async () => this.#election?.stepDown(options));
  }

  handoff(to: string): Promise<void> {
    return this.#depart(async () => this.#election?.handoff(to));
  }

  /** Gives leadership up, releases the lease, and stands no more. Bounded by the hook timeout of the election. */
  async stop(): Promise<void> {
    const stopping = this.#tasks.stop();
    await this.#election?.stop();
    await stopping;
  }

  async #depart(go: () => Promise<void>): Promise<void> {
    this.#departures += 1;
    try {
      await go();
    } finally {
      this.#departures -= 1;
    }
  }

  async #stand(first: Election | undefined, signal: AbortSignal): Promise<void> {
    let failures = 0;
    for (let election = first; ; election = undefined) {
      try {
        election ??= await this.#next(signal);
        failures = 0;
      } catch (failure) {
        if (signal.aborted) return;
        failures += 1;
        this.#env.log.warn('election_start_failed', { error: messageOf(failure), failures });
      }
      if (election !== undefined) {
        const [error] = await Promise.all([election.closed, this.#follow(election, signal)]);
        this.#deps.onLeader(undefined, undefined);
        if (signal.aborted) return;
        if (!this.#isAllowed) continue;
        this.#env.log.warn('election_ended', { error: error === undefined ? 'stopped' : messageOf(error) });
      }
      await this.#env.clock.sleep(backoffMs(failures, RETRY, this.#env.random), { signal });
    }
  }

  /** A running Election, as soon as it may stand. */
  async #next(signal: AbortSignal): Promise<Election> {
    if (!this.#isAllowed) await abortable(this.#allowed.promise, signal);
    const election = this.#make();
    await election.start({ signal });
    return election;
  }

  #make(): Election {
    const election = new Election(this.#deps.options(), this.#env);
    // The hook returns at once: what it begins is ended by the demote hook, not waited for as work of the term.
    election.onPromote((leadership) => this.#deps.onElected(leadership));
    election.onDemote((demotion) => this.#deps.onDemoted(demotion));
    this.#election = election;
    return election;
  }

  /** Tells of leader changes until the election ends. */
  async #follow(election: Election, signal: AbortSignal): Promise<void> {
    for await (const event of election.watch()) {
      // Our own end says nothing of the leader.
      if (event.state === 'stopped' && (signal.aborted || !this.#isAllowed)) break;
      this.#deps.onLeader({ id: event.leaderId }, event.epoch);
    }
  }
}
