/**
 * Standing for election for as long as the app runs: an Election runs once and may fail (its warden died, or fenced it
 * during a freeze); this makes the next one, after a rest, until stopped.
 */
import { backoffMs, type Env, messageOf, TaskGroup } from '@canopy/core';
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

  /** Resolves when the first Election runs; rejects as its start does. */
  async start(signal?: AbortSignal): Promise<void> {
    const election = this.#make();
    await election.start({ signal });
    this.#tasks.run('stand', (stopped) => this.#stand(election, stopped));
  }

  /** ELECTION_NOT_LEADER when it does not lead. */
  async stepDown(options: { holdOffMs?: number } = {}): Promise<void> {
    await this.#election?.stepDown(options);
  }

  async handoff(to: string): Promise<void> {
    await this.#election?.handoff(to);
  }

  /** Gives leadership up, releases the lease, and stands no more. Bounded by the hook timeout of the election. */
  async stop(): Promise<void> {
    const stopping = this.#tasks.stop();
    await this.#election?.stop();
    await stopping;
  }

  async #stand(first: Election, signal: AbortSignal): Promise<void> {
    let election = first;
    for (let failures = 0; !signal.aborted; ) {
      const [error] = await Promise.all([election.closed, this.#follow(election, signal)]);
      this.#deps.onLeader(undefined, undefined);
      if (signal.aborted) return;
      this.#env.log.warn('election_ended', { error: error === undefined ? 'stopped' : messageOf(error) });
      for (;;) {
        await this.#env.clock.sleep(backoffMs(failures, RETRY, this.#env.random), { signal });
        election = this.#make();
        try {
          await election.start({ signal });
          failures = 0;
          break;
        } catch (failure) {
          failures += 1;
          this.#env.log.warn('election_start_failed', { error: messageOf(failure), failures });
        }
      }
    }
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
      if (signal.aborted && event.state === 'stopped') break;
      this.#deps.onLeader({ id: event.leaderId }, event.epoch);
    }
  }
}
