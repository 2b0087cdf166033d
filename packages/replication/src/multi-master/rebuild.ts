/**
 * A master that joins anew with an empty store. Invariant: nothing is thrown away before it is known that the log and the snapshots have it all, and that
 * this master's own writes are in the log.
 */
import { type Env, withDeadline } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { Recovery } from '../leader-follower/recovery-progress.ts';
import type { AtomicStore } from '../ports/atomic-store.ts';
import type { EventLog, EventLogInfo } from '../ports/event-log.ts';
import type { DurableReplica } from './durable-replica.ts';
import { emptied } from './emptying.ts';
import type { MultiMasterSettings } from './options.ts';

/** How long what is unsent may take. */
const DRAIN_MS = 30_000;

export interface RebuildOptions {
  readonly signal?: AbortSignal | undefined;
  /** Throws away also what nobody else may have: events that are in no log, a state of a log that was made anew. Default false. */
  readonly discard?: boolean;
}

export class MasterRebuild {
  /** What `begin` began. */
  done: Promise<void> | undefined;
  readonly #settings: MultiMasterSettings;
  readonly #recovery: Recovery;
  readonly #env: Env;
  readonly #make: () => DurableReplica;
  readonly #stopping = new AbortController();
  #replica: DurableReplica;
  #isEmptying = false;

  constructor(
    settings: MultiMasterSettings,
    recovery: Recovery,
    env: Env,
    replica: DurableReplica,
    make: () => DurableReplica,
  ) {
    this.#settings = settings;
    this.#recovery = recovery;
    this.#env = env;
    this.#replica = replica;
    this.#make = make;
  }

  begin(options: RebuildOptions, over: (outcome: 'done' | 'failed') => void): void {
    this.done = this.#run(options).then(
      () => over('done'),
      (error) => {
        over('failed');
        throw error;
      },
    );
    // Whoever asked hears of it; nobody has to.
    this.done.catch(() => {});
  }

  async #run({ signal, discard = false }: RebuildOptions): Promise<void> {
    const { clock } = this.#env;
    const stop = signal === undefined ? this.#stopping.signal : AbortSignal.any([this.#stopping.signal, signal]);
    const { lastSequence } = await this.#checked(discard, stop);
    if (!discard) await this.#drained(stop);
    stop.throwIfAborted();
    this.#isEmptying = true;
    await this.#replica.close();
    this.#recovery.begin('log', 0, lastSequence, clock.monotonic());
    try {
      for (const _ of emptied(this.#settings.stateManager as AtomicStore)) await clock.sleep(0);
      this.#stopping.signal.throwIfAborted();
      this.#replica = this.#make();
      this.#isEmptying = false;
      await this.#replica.subscribe();
    } catch (error) {
      // The old one must not write into what is left of its store.
      if (this.#isEmptying) this.#replica.fail(error as Error);
      throw error;
    } finally {
      this.#recovery.end(clock.monotonic());
    }
  }

  /** The manager is closed: resolves when nothing of this goes on. A store that is being emptied is empty then. */
  async stop(): Promise<void> {
    const { masterId } = this.#settings;
    this.#stopping.abort(replicationErrors.create('MASTER_CLOSED', { masterId }));
    if (!this.#isEmptying) await this.#replica.close();
    await this.done?.catch(() => {});
  }

  async #checked(discard: boolean, signal: AbortSignal): Promise<EventLogInfo> {
    const { pipeline, masterId, snapshots } = this.#settings;
    const log = pipeline as EventLog;
    const info = await log.info({ signal });
    const { firstSequence: first, createdAt } = info;
    const { logCreatedAt } = this.#replica;
    if (logCreatedAt !== 0 && logCreatedAt !== createdAt && !discard)
      throw this.#refused(`log ${log.name} was made anew and may not have what this master has`);
    const snapshot = first > 1 ? await snapshots?.latest(log.name) : undefined;
    const reaches = snapshot?.logCreatedAt === createdAt && snapshot.sequence + 1 >= first;
    if (first > 1 && !reaches)
      throw replicationErrors.create('MASTER_LOG_TRIMMED', { masterId, position: 0, log: log.name, first });
    return info;
  }

  async #drained(signal: AbortSignal): Promise<void> {
    const { unsent } = this.#replica.counts();
    if (unsent === 0) return;
    const problem = `${unsent} of its writes are not in the log`;
    if (this.#replica.failure !== undefined) throw this.#refused(problem);
    const draining = this.#replica.drained();
    try {
      await withDeadline(this.#env.clock, 'send what is unsent', DRAIN_MS, Promise.race([draining, ended(signal)]));
    } catch (error) {
      signal.throwIfAborted();
      throw this.#refused(problem, error);
    }
  }

  #refused(problem: string, cause?: unknown): Error {
    return replicationErrors.create('RECOVERY_REFUSED', { node: this.#settings.masterId, problem }, cause);
  }
}

function ended(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
